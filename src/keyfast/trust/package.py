"""The seal of a package: one signature over everything its bundle says, down to the root that it pins.

The profile role signs it, since a bundle names the servers, and in Windows mode brings the account. The seal
cannot tell a package from one that was made up as a whole, root and all: on an endpoint that has no record yet
that is for whoever delivers the package, and for the signature of the installer around it.
"""

from msgspec.structs import replace

from keyfast.errors import TrustError
from keyfast.trust.chain import TrustChain
from keyfast.trust.encoding import digest_text
from keyfast.trust.keyset import Keyset
from keyfast.trust.roles import PACKAGE_TYP
from keyfast.wire.bundle import Bundle, PackageSeal, sealed_bytes


def seal(keyset: Keyset, bundle: Bundle) -> Bundle:
    """Return the bundle with its seal.

    Raises:
        ConflictError: this server does not hold the key.
    """
    claims = PackageSeal(bundle.installation, bundle.package, digest_text(sealed_bytes(bundle)))
    return replace(bundle, seal=keyset.sign(PACKAGE_TYP, claims))


def check_seal(chain: TrustChain, bundle: Bundle) -> None:
    """Verify that a bundle is as it was built.

    Raises:
        TrustError: it carries no seal, the seal does not lead to the root of ``chain``, or something was changed.
    """
    if not bundle.seal:
        raise TrustError("it carries no seal")
    claims = chain.verify(bundle.seal, PACKAGE_TYP, PackageSeal)
    if (claims.package, claims.digest) != (bundle.package, digest_text(sealed_bytes(bundle))):
        raise TrustError("its content is not what was sealed")
