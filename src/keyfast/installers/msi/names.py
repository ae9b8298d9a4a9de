"""What the parts of the MSI are called, in every table that mentions them."""

import uuid

PRODUCT = "Keyfast Agent"
VENDOR = "Keyfast"
SERVICE = "KeyfastAgent"
UPGRADE_CODE = "9F0B6E5C-7C55-4B0C-9E4B-6D6A0C0A4C11"
"""The same for ever: by it Windows knows that one package replaces another."""
NO_PRODUCT = "00000000-0000-4000-8000-000000000000"
"""Product code of a base, which nobody installs."""

PACKAGE_KEY = r"SOFTWARE\Keyfast\Agent\Package"
DATABASE_KEY = r"SOFTWARE\Keyfast\Agent\Client Database"

VENDOR_FOLDER = "VENDORFOLDER"
PROGRAM_FOLDER = "PROGRAMFOLDER"
PACKAGE_FOLDER = "PACKAGEFOLDER"
LAUNCHER_FILE = "LauncherFile"
BUNDLE_ID = "BundleFile"
BUNDLE_COMPONENT = "BundleComponent"
VALUES_COMPONENT = "ValuesComponent"
KEY_PATH_VALUE = "ValuePackageId"
CABINET = "agent.cab"
BUNDLE_CABINET = "package.cab"

SERVER_URL = "SERVERURL"
"""Public property: one more URL of the server, ``msiexec /i agent.msi SERVERURL=URL``."""
KEPT_SERVER_URL = "KEPTSERVERURL"
SERVER_URL_VALUE = "ServerUrlOverride"
PURGE = "PURGE"
"""Public property of an uninstallation: forget this endpoint's identity too."""

_NAMESPACE = uuid.UUID(UPGRADE_CODE)


def component_id(version: str, path: str) -> str:
    """Return the code of a component: another one for every version, as its content may be another."""
    return str(uuid.uuid5(_NAMESPACE, f"{version} {path}")).upper()
