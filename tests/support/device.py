"""An endpoint that speaks the protocol by hand, so that a test can get every part of it wrong."""

import base64
import secrets
import tarfile
import time
import uuid
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from joserfc import jws

from keyfast.trust import dpop
from keyfast.trust.device import DeviceKey
from keyfast.trust.encoding import digest_text
from keyfast.wire import messages
from keyfast.wire.bundle import Bundle
from keyfast.wire.changes import Probe, Recover
from keyfast.wire.messages import CheckIn, Encryption, Inventory, Join, Protection, Volume
from keyfast.wire.oauth import ASSERTION_TYPE

INVENTORY = Inventory(
    hostname="lab-1",
    os="Test OS",
    volumes=(Volume(id="root", encryption=Encryption.ENCRYPTED, protection=Protection.ON, mount="/", role="os"),),
)
CHECK_IN = "/endpoint/v1/check-in"
RECOVER = "/endpoint/v1/recover"
PROBE = "/endpoint/v1/probe"


def read_bundle(archive: str | Path) -> Bundle:
    """Read ``keyfast.json`` out of a bundle."""
    with tarfile.open(archive) as opened:
        member = opened.extractfile("keyfast-agent/keyfast.json")
        assert member is not None
        return msgspec.json.decode(member.read(), type=Bundle)


class Device:
    """One endpoint."""

    def __init__(self, http: httpx2.Client, url: str, name: str = "lab-1") -> None:
        self.http = http
        self.url = url
        self.name = name
        self.key = DeviceKey.generate()
        self.seal_key = DeviceKey.generate()
        self.nonce = ""
        self.id = ""
        self.token = ""
        self.receipt = ""
        self.seq = 0
        self.acked = ""
        self.acked_seq = 0
        self.boot_id = str(uuid.uuid4())
        self.instance = str(uuid.uuid4())

    def proof(self, method: str, path: str, **changes: Any) -> str:
        """A DPoP proof; ``changes`` override its parts."""
        parts: dict[str, Any] = {
            "nonce": self.nonce,
            "jti": secrets.token_hex(8),
            "issued_at": int(time.time()),
        }
        parts |= changes
        key = parts.pop("key", self.key)
        url = parts.pop("url", self.url + path)
        return dpop.make_proof(key, method=method, url=url, **parts)

    def keep(self, response: httpx2.Response) -> httpx2.Response:
        """Take the nonce of an answer."""
        self.nonce = response.headers.get("dpop-nonce", self.nonce)
        return response

    def registration(self, statement: str, **changes: Any) -> dict[str, Any]:
        """The body of a registration."""
        keys = [
            self.key.public_jwk() | {"use": "sig", "alg": "ES256", "kid": self.key.thumbprint},
            self.seal_key.public_jwk() | {"use": "enc", "kid": self.seal_key.thumbprint},
        ]
        body = {"software_statement": statement, "client_name": self.name, "jwks": {"keys": keys}}
        return body | changes

    def register(self, statement: str, **changes: Any) -> httpx2.Response:
        """Ask to join, with the nonce in hand (an empty one gets a challenge)."""
        body = msgspec.json.encode(self.registration(statement, **changes))
        headers = {
            "content-type": "application/json",
            "dpop": self.proof("POST", "/oauth/register", body=body),
        }
        return self.keep(self.http.post("/oauth/register", content=body, headers=headers))

    def assertion(self, **changes: Any) -> str:
        """A client assertion."""
        now = int(time.time())
        claims = {
            "iss": self.id,
            "sub": self.id,
            "aud": self.url,
            "jti": secrets.token_hex(8),
            "iat": now,
            "exp": now + 60,
        }
        claims |= changes
        key = claims.pop("key", self.key)
        header = {"alg": "ES256", "typ": "JWT", "kid": self.key.thumbprint}
        return jws.serialize_compact(header, msgspec.json.encode(claims), key.jose, algorithms=["ES256"])

    def ask_token(self, assertion: str = "", **form: str) -> httpx2.Response:
        """Ask for an access token."""
        fields = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion or self.assertion(),
        }
        headers = {"dpop": self.proof("POST", "/oauth/token")}
        return self.keep(self.http.post("/oauth/token", data=fields | form, headers=headers))

    def enrol(self, bundle: Bundle) -> "Device":
        """Register and get a token, as an agent does."""
        self.register(bundle.statement)
        answer = self.register(bundle.statement)
        assert answer.status_code == 201, answer.text
        self.id, self.receipt = answer.json()["client_id"], answer.json()["keyfast_receipt"]
        self.fetch_token()
        return self

    def fetch_token(self) -> None:
        """Get an access token."""
        answer = self.ask_token()
        if answer.status_code == 400 and answer.json()["class"] == "use_nonce":
            answer = self.ask_token()
        assert answer.status_code == 200, answer.text
        self.token = answer.json()["access_token"]

    def body(self, **changes: Any) -> bytes:
        """A check-in body with the inventory enclosed unless ``changes`` say otherwise."""
        message = CheckIn(
            seq=self.seq + 1,
            acked=self.acked,
            boot_id=self.boot_id,
            instance=self.instance,
            agent_version="test",
            inventory_digest=digest_text(messages.inventory_bytes(INVENTORY)),
            inventory=INVENTORY,
            verified_age_s=(0,),
            clock=int(time.time()),
        )
        return messages.encode(msgspec.structs.replace(message, **changes))

    def send(self, body: bytes, *, headers: dict[str, str] | None = None, **proof: Any) -> httpx2.Response:
        """Send a check-in body with a proof for it."""
        parts: dict[str, Any] = {"access_token": self.token, "body": body} | proof
        sent = {
            "content-type": "application/json",
            "authorization": f"DPoP {self.token}",
            "dpop": self.proof("POST", CHECK_IN, **parts),
        } | (headers or {})
        return self.http.post(CHECK_IN, content=body, headers=sent)

    def check_in(self, **changes: Any) -> httpx2.Response:
        """Check in; on success remember it as acknowledged."""
        body = self.body(**changes)
        answer = self.keep(self.send(body))
        if answer.status_code == 200:
            self.seq = changes.get("seq", self.seq + 1)
            self.acked = digest_text(body)
            self.acked_seq = self.seq
        return answer

    def recovery(self, **changes: Any) -> bytes:
        """The body of a recovery check-in."""
        return messages.encode(msgspec.structs.replace(Recover(challenge="c", endpoint=self.id), **changes))

    def post(self, path: str, body: bytes, headers: dict[str, str] | None = None, **proof: Any) -> httpx2.Response:
        """Send a body with a proof for it, again with the server's nonce if that is what it wants."""
        proven = {"body": body, **proof}
        for _ in range(2):
            sent = {"content-type": "application/json", "dpop": self.proof("POST", path, **proven)} | (headers or {})
            answer = self.keep(self.http.post(path, content=body, headers=sent))
            if answer.status_code == 200 or answer.json()["class"] != "use_nonce":
                break
        return answer

    def recover(self, *, headers: dict[str, str] | None = None, **changes: Any) -> httpx2.Response:
        """Make a recovery check-in."""
        return self.post(RECOVER, self.recovery(**changes), headers)

    def probe(self, command: str, **changes: Any) -> httpx2.Response:
        """Probe by the access token."""
        body = messages.encode(Probe(challenge="p", command=command, **changes))
        return self.post(PROBE, body, {"authorization": f"DPoP {self.token}"}, access_token=self.token)


class PasswordDevice(Device):
    """An endpoint in Windows mode that logs on by Basic with whatever password it is told to."""

    def __init__(self, http: httpx2.Client, url: str, bundle: Bundle) -> None:
        super().__init__(http, url)
        assert bundle.account is not None
        self.bundle, self.account, self.generation = bundle, bundle.account, bundle.account.generation
        self.key_of_account = f"{self.account.domain}\\{self.account.name}"

    def basic(self, password: str) -> dict[str, str]:
        """The header that logs on."""
        text = f"{self.key_of_account}:{password}"
        return {"authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}

    def visit(self, password: str = "", **changes: Any) -> httpx2.Response:
        """Check in; the first time it joins."""
        told = {"account": self.key_of_account, "credential_generation": self.generation}
        if not self.id:
            told["join"] = Join(self.bundle.statement, self.seal_key.public_jwk())
        body = self.body(**told | changes)
        answer = self.post(CHECK_IN, body, self.basic(password or self.account.password))
        if answer.status_code == 200:
            self.seq += 1
            if registered := answer.json().get("registered"):
                self.id, self.receipt = registered["client_id"], registered["keyfast_receipt"]
        return answer

    def try_access(self, command: str, password: str, generation: int, **headers: str) -> httpx2.Response:
        """Probe with a password."""
        told = Probe("p", command, account=self.key_of_account, credential_generation=generation)
        return self.post(PROBE, messages.encode(told), self.basic(password) | headers)

    def recover(self, *, headers: dict[str, str] | None = None, **changes: Any) -> httpx2.Response:
        """Make a recovery check-in."""
        told = {"account": self.key_of_account, "credential_generation": self.generation}
        return super().recover(headers=headers, **told | changes)
