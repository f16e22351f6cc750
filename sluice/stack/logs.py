"""Log files of the stack's processes: appended to, bounded, and quoted when something dies."""

import shutil
from pathlib import Path

LARGEST_LOG_BYTES = 10 * 1024 * 1024


def bound(log: Path, largest_bytes: int = LARGEST_LOG_BYTES) -> bool:
    """If `log` has grown over the bound, move its content to `<log>.1`; returns whether it did.

    The process keeps the file open for appending, so the file is copied and emptied in place; what is written in
    between the two is lost, which a log may.
    """
    try:
        if log.stat().st_size <= largest_bytes:
            return False
    except FileNotFoundError:
        return False
    shutil.copyfile(log, log.with_name(f"{log.name}.1"))
    with log.open("r+b") as file:
        file.truncate(0)
    return True


def last_lines(log: Path, count: int = 12) -> str:
    """The end of `log`, for a message; at most `count` lines of its last 64 KiB."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 65_536))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-count:])
