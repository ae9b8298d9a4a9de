"""An operating system in a test's hands."""

import threading
from pathlib import Path

from keyfast.agent.client_database import Record


class FakePlatform:
    """See the module; a fault is raised in place of an answer."""

    def __init__(self, state: Path, record: Record | None = None) -> None:
        self.folder, self.record = state, record
        self.fault: BaseException | None = None
        self.how: str | BaseException = "running"
        self.hangs = threading.Event()
        self.slow = False

    def state(self) -> Path:
        return self.folder

    def read(self, _: Path) -> tuple[Record | None, str]:
        if self.slow:
            self.hangs.wait(20)
        if self.fault:
            raise self.fault
        return self.record, "file"

    def server_url(self) -> str:
        return ""

    def service(self) -> str:
        if isinstance(self.how, BaseException):
            raise self.how
        return self.how
