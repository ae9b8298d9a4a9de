"""The description of the MSI that wixl compiles: a pure function of the files and the version.

wixl ignores what it does not know, so only what it is known to do is used; the rest is ``amend``.
"""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from xml.etree import ElementTree as ET

from keyfast.core.package import BUNDLE_FILE
from keyfast.errors import UsageError
from keyfast.installers.msi import names

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_LIMITS = (255, 255, 65535)
# Numbers are given for every action: wixl puts one that says Before or After at wrong places.
_AFTER_SEARCH, _AFTER_STOP, _AFTER_START, _BEFORE_END = 60, 1950, 5950, 6590
_FIRST_CONTACT_S = 45


def product_version(version: str) -> str:
    """Return the part of a version that Windows compares, ``1.2.3``.

    Raises:
        UsageError: Windows cannot express it.
    """
    found = _VERSION.match(version)
    numbers = [int(number or 0) for number in found.groups()] if found else []
    if not numbers or any(number > limit for number, limit in zip(numbers, _LIMITS, strict=True)):
        raise UsageError(f"version {version} cannot be that of an MSI: it must begin with three numbers")
    return ".".join(map(str, numbers))


def document(version: str, program: str, files: Sequence[str]) -> bytes:
    """Return the XML.

    Args:
        version: of Keyfast.
        program: the one of ``files`` that is the launcher.
        files: paths below the program's folder, by ``/``; their sources lie there below wixl's working folder.
    """
    version = product_version(version)
    root = ET.Element("Wix", xmlns="http://schemas.microsoft.com/wix/2006/wi")
    product = _add(
        root,
        "Product",
        Id=names.NO_PRODUCT,
        Name=names.PRODUCT,
        Language="1033",
        Codepage="65001",
        Version=version,
        Manufacturer=names.VENDOR,
        UpgradeCode=names.UPGRADE_CODE,
    )
    _add(product, "Package", InstallerVersion="500", Compressed="yes", InstallScope="perMachine")
    _add(product, "Media", Id="1", Cabinet=names.CABINET, EmbedCab="yes")
    _add(product, "MajorUpgrade", DowngradeErrorMessage="A newer version of the Keyfast agent is installed.")
    _add(product, "Property", Id="ARPNOMODIFY", Value="1")
    _actions(product)
    components = _folders(product, version, program, files)
    feature = _add(product, "Feature", Id="Agent", Level="1")
    for component in components:
        _add(feature, "ComponentRef", Id=component)
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _actions(product: ET.Element) -> None:
    """What is run beside the standard actions: keep an old SERVERURL, and say goodbye to the server."""
    kept = _add(product, "Property", Id=names.KEPT_SERVER_URL)
    place = {"Root": "HKLM", "Key": names.PACKAGE_KEY, "Name": names.SERVER_URL_VALUE}
    _add(kept, "RegistrySearch", Id="KeptServerUrl", Type="raw", Win64="yes", **place)
    _add(product, "CustomAction", Id="KeepServerUrl", Property=names.SERVER_URL, Value=f"[{names.KEPT_SERVER_URL}]")
    # Deferred actions run as SYSTEM. Whatever becomes of the goodbye, an uninstallation goes on.
    system = {"FileKey": names.LAUNCHER_FILE, "Impersonate": "no", "Return": "ignore"}
    _add(
        product,
        "CustomAction",
        Id="Goodbye",
        ExeCommand='--logged "uninstall --keep-state"',
        Execute="deferred",
        **system,
    )
    _add(product, "CustomAction", Id="GoodbyeForever", ExeCommand="--logged uninstall", Execute="deferred", **system)
    # At the commit, when Windows has put its own copy of the package where anybody may read it.
    _add(product, "CustomAction", Id="Protect", ExeCommand="--protect-packages", Execute="commit", **system)
    # What comes of the first contact is said in the log; the installation does not wait for it.
    asked = {"ExeCommand": f'--logged "self-check --wait {_FIRST_CONTACT_S}"', "Execute": "deferred"}
    _add(product, "CustomAction", Id="SelfCheck", **(system | asked | {"Return": "asyncNoWait"}))
    sequence = _add(product, "InstallExecuteSequence")
    gone = 'REMOVE="ALL" AND NOT UPGRADINGPRODUCTCODE'
    _custom(sequence, "KeepServerUrl", _AFTER_SEARCH, f"NOT {names.SERVER_URL}")
    _custom(sequence, "Goodbye", _AFTER_STOP, f"{gone} AND NOT {names.PURGE}")
    _custom(sequence, "GoodbyeForever", _AFTER_STOP + 1, f"{gone} AND {names.PURGE}")
    _custom(sequence, "SelfCheck", _AFTER_START, 'NOT REMOVE="ALL"')
    _custom(sequence, "Protect", _BEFORE_END, 'NOT REMOVE="ALL"')


def _custom(sequence: ET.Element, action: str, number: int, condition: str) -> None:
    _add(sequence, "Custom", Action=action, Sequence=str(number)).text = condition


def _folders(product: ET.Element, version: str, program: str, files: Sequence[str]) -> list[str]:
    """Add all folders with one component each, and return the components' names."""
    target = _add(product, "Directory", Id="TARGETDIR", Name="SourceDir")
    programs = _add(target, "Directory", Id="ProgramFiles64Folder")
    vendor = _add(programs, "Directory", Id=names.VENDOR_FOLDER, Name=names.VENDOR)
    top = _add(vendor, "Directory", Id=names.PROGRAM_FOLDER, Name="Agent")
    package = _add(top, "Directory", Id=names.PACKAGE_FOLDER, Name="package")
    _launcher(top, version, program)
    _values(top, version)
    _secret(package, version)
    components = ["LauncherComponent", names.VALUES_COMPONENT, names.BUNDLE_COMPONENT]
    folders = {PurePosixPath(): top}
    homes: dict[PurePosixPath, ET.Element] = {}
    for number, path in enumerate(map(PurePosixPath, sorted(set(files) - {program}))):
        home = homes.get(path.parent)
        if home is None:
            folder = _folder(folders, path.parent)
            # A folder as key path: Windows leaves out a component whose key file it finds in a "newer" version,
            # and looks for that before the old product is removed.
            home = homes[path.parent] = _component(folder, f"C{len(homes)}", version, str(path.parent))
            components.append(home.attrib["Id"])
        _add(home, "File", Id=f"F{number}", Name=path.name, Source=str(path), DiskId="1")
    return components


def _folder(folders: dict[PurePosixPath, ET.Element], path: PurePosixPath) -> ET.Element:
    if path not in folders:
        parent = _folder(folders, path.parent)
        folders[path] = _add(parent, "Directory", Id=f"D{len(folders)}", Name=path.name)
    return folders[path]


def _launcher(top: ET.Element, version: str, program: str) -> None:
    component = _component(top, "LauncherComponent", version, program)
    _add(component, "File", Id=names.LAUNCHER_FILE, Name=program, Source=program, KeyPath="yes", DiskId="1")
    _add(
        component,
        "ServiceInstall",
        Id="Service",
        Name=names.SERVICE,
        DisplayName=names.PRODUCT,
        Description="Enrols this computer with its Keyfast server, and keeps it checking in.",
        Type="ownProcess",
        Start="auto",
        ErrorControl="normal",
        Arguments="--service",
        Vital="yes",
    )
    whenever = {"Start": "install", "Stop": "both", "Remove": "uninstall", "Wait": "yes"}
    _add(component, "ServiceControl", Id="ServiceControl", Name=names.SERVICE, **whenever)


def _values(top: ET.Element, version: str) -> None:
    component = _component(top, names.VALUES_COMPONENT, version, names.PACKAGE_KEY)
    value = {"Root": "HKLM", "Key": names.PACKAGE_KEY, "Name": "PackageId", "Type": "string", "Value": "-"}
    _add(component, "RegistryValue", Id=names.KEY_PATH_VALUE, KeyPath="yes", **value)


def _secret(package: ET.Element, version: str) -> None:
    component = _component(package, names.BUNDLE_COMPONENT, version, BUNDLE_FILE)
    _add(component, "CreateFolder")


def _component(folder: ET.Element, name: str, version: str, path: str) -> ET.Element:
    return _add(folder, "Component", Id=name, Guid=names.component_id(version, path), Win64="yes")


def _add(parent: ET.Element, tag: str, **attributes: str) -> ET.Element:
    return ET.SubElement(parent, tag, attributes)
