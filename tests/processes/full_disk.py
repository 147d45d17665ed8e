"""A small file system for tests, which can be filled up."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

SIZE_MEGABYTES = 48


@dataclass
class Disk:
    """A tmpfs mounted at a folder."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir()
        options = f"size={SIZE_MEGABYTES}m,mode=0700"
        _run("mount", "-t", "tmpfs", "-o", options, "connector-tests", str(self.folder))

    def fill(self) -> None:
        """Fill the file system to the last byte."""
        part = b"\0" * 4096
        with (self.folder / "ballast").open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(part)
            except OSError:
                return  # The disk is full.

    def make_room(self) -> None:
        """Free the space again."""
        (self.folder / "ballast").unlink(missing_ok=True)

    def remove(self) -> None:
        """Unmount it."""
        self.release(self.folder)

    @staticmethod
    def release(folder: Path) -> None:
        """Unmount what a killed run may have left."""
        if os.path.ismount(folder):
            _run("umount", "--lazy", str(folder))

    @staticmethod
    def can_be() -> bool:
        """Return whether we may mount."""
        return os.geteuid() == 0 and Path("/proc/mounts").exists()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
