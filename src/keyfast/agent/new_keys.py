"""Delegations learned later: keys rotate, and an endpoint that slept through it must catch up."""

import msgspec
from msgspec.structs import replace

from keyfast.agent.client_database import Record
from keyfast.agent.evidence import chain_of, profile_in
from keyfast.errors import TrustError
from keyfast.trust.delegation import read_delegation
from keyfast.trust.keyset import TrustChain
from keyfast.trust.roles import ROOT_CHANGE_TYP
from keyfast.trust.statement import label

_MAX_KEYS = 128


class _Key(msgspec.Struct, frozen=True):
    keyfast_delegation: str = ""


class _KeySet(msgspec.Struct, frozen=True):
    keys: tuple[_Key, ...] = ()


def with_published(record: Record, key_set: bytes) -> Record:
    """Return the record that also knows the delegations of a published key set (RFC 7517)."""
    try:
        keys = msgspec.json.decode(key_set, type=_KeySet).keys[:_MAX_KEYS]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return record
    return with_delegations(record, tuple(key.keyfast_delegation for key in keys if key.keyfast_delegation))


def with_delegations(record: Record, texts: tuple[str, ...]) -> Record:
    """Return the record that also knows these root changes and delegations.

    Only texts that lead to the pinned root are taken, and only if every access profile that could be
    verified before still can: new keys must not cost an endpoint the way it came.
    """
    texts = texts[:_MAX_KEYS]
    chain = chain_of(record, texts)
    useful = tuple(text for text in texts if _leads_to_root(record, texts, text, chain))
    after = replace(record, delegations=tuple(dict.fromkeys((*record.delegations, *useful))))
    return after if _usable_slots(record) <= _usable_slots(after) else record


def _leads_to_root(record: Record, texts: tuple[str, ...], text: str, chain: TrustChain) -> bool:
    try:
        if label(text).typ == ROOT_CHANGE_TYP:
            others = [other for other in texts if other != text]
            return chain_of(record, others).root != chain.root
        read_delegation(text, chain.installation, dict(chain.root))
    except TrustError:
        return False
    return True


def _usable_slots(record: Record) -> set[str]:
    chain, usable = chain_of(record), set()
    slots = record.slots
    for statement in {slots.factory, slots.previous, slots.current, slots.candidate} - {""}:
        try:
            usable.add(profile_in(chain, statement).statement)
        except TrustError:
            continue  # it was of no use before either, or the comparison finds out
    return usable
