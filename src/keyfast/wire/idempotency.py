"""Headers by which a write of the admin API can be sent again: draft-ietf-httpapi-idempotency-key-header-07."""

KEY_HEADER = "idempotency-key"
"""A key of the caller's making, another one for each write."""

REPLAYED_HEADER = "idempotent-replayed"
"""``true`` where an answer was given before, and the act was not done again."""
