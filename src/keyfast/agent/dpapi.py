"""DPAPI: the vault of Windows. Tried under Wine only, which checks the calls and protects nothing.

The machine's key, not an account's: an agent that is run by hand as an administrator opens what the service sealed.
Any program on the machine may ask DPAPI to open it, so the folder's and the registry key's permissions count; the
entropy keeps out programs that open whatever they find.
"""

import ctypes
from typing import Any

from keyfast.errors import VaultError

_LOCAL_MACHINE = 0x4
_UI_FORBIDDEN = 0x1
_ENTROPY = b"keyfast agent client database 1"


class _Blob(ctypes.Structure):
    """DATA_BLOB."""

    _fields_ = (("size", ctypes.c_uint32), ("data", ctypes.POINTER(ctypes.c_char)))


class DpapiVault:
    """CryptProtectData with the machine's key.

    Args:
        crypt32, kernel32: the libraries, for tests.
    """

    name = "dpapi"

    def __init__(self, crypt32: Any = None, kernel32: Any = None) -> None:
        self._crypt32 = crypt32 or _library("crypt32")
        self._kernel32 = kernel32 or _library("kernel32")

    def seal(self, key: bytes) -> bytes:
        """See ``Vault.seal``."""
        return self._call(self._crypt32.CryptProtectData, key, _LOCAL_MACHINE | _UI_FORBIDDEN, "seal")

    def open(self, sealed: bytes) -> bytes:
        """See ``Vault.open``."""
        return self._call(self._crypt32.CryptUnprotectData, sealed, _UI_FORBIDDEN, "open")

    def _call(self, call: Any, given: bytes, flags: int, verb: str) -> bytes:
        source, entropy, result = _blob(given), _blob(_ENTROPY), _Blob()
        done = call(ctypes.byref(source), None, ctypes.byref(entropy), None, None, flags, ctypes.byref(result))
        if not done:
            code = getattr(ctypes, "get_last_error", lambda: 0)()
            raise VaultError(
                f"DPAPI cannot {verb} the key (error {code})",
                repair="bring back the machine's DPAPI keys, as they are in a backup of this very system",
            )
        try:
            return ctypes.string_at(result.data, result.size)
        finally:
            self._kernel32.LocalFree(ctypes.cast(result.data, ctypes.c_void_p))


def _library(name: str) -> Any:
    return getattr(ctypes, "WinDLL")(name, use_last_error=True)  # noqa: B009 - only Windows has it


def _blob(content: bytes) -> _Blob:
    buffer = ctypes.create_string_buffer(content, len(content))
    return _Blob(len(content), ctypes.cast(buffer, ctypes.POINTER(ctypes.c_char)))
