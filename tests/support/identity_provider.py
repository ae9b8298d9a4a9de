"""An identity provider that speaks OpenID Connect, and can be told to lie."""

import base64
import hashlib
import json
import time
from urllib.parse import parse_qs, unquote_plus, urlsplit

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey


class IdentityProvider:
    """Answers as the provider would.

    Attributes:
        issuer: set once its port is known.
        lies: claims of the next ID tokens, over the true ones; None leaves one out.
        broken: answers in place of the true ones, by path.
        signs: header and key of ID tokens.
    """

    def __init__(self) -> None:
        self.client_id, self.secret = "keyfast", "s3cret: %"
        self.issuer = ""
        self.key = ECKey.generate_key("P-256", auto_kid=True)
        self.lies: dict[str, object] = {}
        self.broken: dict[str, httpx2.Response] = {}
        self.signs: tuple[dict[str, str], object] | None = None
        self.asked: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}

    def rotate(self) -> None:
        """Sign with a new key from now on; the former one is gone."""
        self.key = ECKey.generate_key("P-256", auto_kid=True)

    def log_in(
        self, url: str, name: str = "alice", subject: str = "sub-1", auth_time: int | None = None
    ) -> dict[str, str]:
        """What a person's browser brings back after they logged in at ``url``."""
        asked = {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()}
        assert url.startswith(f"{self.issuer}/authorize?")
        assert (asked["client_id"], asked["response_type"], asked["code_challenge_method"]) == (
            "keyfast",
            "code",
            "S256",
        )
        code = f"code-{len(self._codes)}"
        claims = {"sub": subject, "preferred_username": name, "nonce": asked["nonce"], "auth_time": auth_time}
        self._codes[code] = {"challenge": asked["code_challenge"], "redirect": asked["redirect_uri"], "claims": claims}
        return {"code": code, "state": asked["state"], "iss": self.issuer}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        self.asked.append(path)
        if path in self.broken:
            return self.broken[path]
        if path == "/.well-known/openid-configuration":
            places = {name: f"{self.issuer}/{at}" for name, at in PLACES.items()}
            return httpx2.Response(200, json={"issuer": self.issuer, **places})
        if path == "/keys":
            public = KeySet([self.key]).as_dict(private=False)
            odd = {"kty": "XYZ", "kid": "odd"}
            return httpx2.Response(200, json={"keys": [odd, *public["keys"]]})
        return self._token(request)

    def _token(self, request: httpx2.Request) -> httpx2.Response:
        user, _, password = base64.b64decode(request.headers["authorization"].split()[1]).decode().partition(":")
        form = {key: values[0] for key, values in parse_qs(request.content.decode()).items()}
        kept = self._codes.pop(form.get("code", ""), None)
        challenge = (
            base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode().rstrip("=")
        )
        good = kept is not None and challenge == kept["challenge"] and form["redirect_uri"] == kept["redirect"]
        if not good or (unquote_plus(user), unquote_plus(password)) != (self.client_id, self.secret):
            return httpx2.Response(400, json={"error": "invalid_grant"})
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": self.client_id, "iat": now, "exp": now + 300} | kept["claims"] | self.lies
        told = {name: value for name, value in claims.items() if value is not None}
        return httpx2.Response(200, json={"access_token": "x", "token_type": "Bearer", "id_token": self._signed(told)})

    def _signed(self, claims: dict[str, object]) -> str:
        header, key = self.signs or ({"alg": "ES256", "kid": self.key.kid}, self.key)
        if header["alg"] == "none":
            parts = (json.dumps(part).encode() for part in (header, claims))
            return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."
        if header["alg"].startswith("HS"):
            key = OctKey.import_key(str(key).ljust(64, "."))
        return jwt.encode(header, claims, key, algorithms=[header["alg"]])


PLACES = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
