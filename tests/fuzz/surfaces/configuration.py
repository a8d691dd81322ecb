"""Settings in the environment and in `.env`, read in a process of their own.

python -m tests.fuzz.surfaces.configuration reads cases from its input, a line each, and answers each with a line.
"""

from __future__ import annotations

import base64
import json
import os
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from tests.fuzz import values
from tests.fuzz.commands import CANARY
from tests.fuzz.trial import Case, Known

_TEXTS = {
    "CASEDEV_API_KEY": (f"sk_case_{CANARY}", f"sk_case_{CANARY}\n", f"'sk_case_{CANARY}'", f"{CANARY}\u00e9", " "),
    "CASEDEV_BASE_URL": (
        "http://127.0.0.1:1", "https://api.case.dev/", "api.case.dev", "http://[::1", "https://a:b", "http://127.0.0.1:99999",
        f"https://user:{CANARY}@x/", "https://ex ample.com", "https://\u2100.com", "https://x:0x50", "//x", "https://xn--a/",
    ),
    "RUNLEDGER_PUBLIC_URL": ("https://x.example", "tcp://10.0.0.1:80", "https://[fe80::1%25eth0]/",
    "https://x:-1", "x"),
    "RUNLEDGER_DATABASE_URL": tuple(
        template.format(password=CANARY)
        for template in (
            "postgresql://u:{password}@127.0.0.1:1/x", "postgresql://u:{password}@127.0.0.1:1/x?schema=public",
            "postgresql+asyncpg://u:{password}@127.0.0.1:1/x", "postgresql+psycopg2://u:{password}@127.0.0.1:1/x",
            "postgres://u:{password}@127.0.0.1:1/x?pgbouncer=true", "postgresql://u:p@ss/{password}#x@127.0.0.1:1/x",
            "postgresql://u:{password}%ZZ@127.0.0.1:1/x", "postgresql://u:{password}@127.0.0.1:port/x", "mysql://u:{password}@h/x",
            "postgresql://%2Fvar%2Frun/x", "postgresql:///x?host=/var/run", "sqlite://", "sqlite:///", "sqlite:////no/such/x.db",
            "sqlite:///:memory:", "sqlite:///x.db?mode=ro", "sqlite+aiosqlite:///x.db", "jdbc:postgresql://h/x",
            "x",
            "postgresql://u:{password}@127.0.0.1:1,127.0.0.1:2/x", "postgresql://u:{password}@[::1/x",
            "postgresql://u:{password}@127.0.0.1:1/x?sslmode=nothing", "postgresql://u:{password}@127.0.0.1:1/x?connect_timeout=a",
            "sqlite:///x\x01y", "postgresql://u:{password}@127.0.0.1:1/x?options=-c%20timezone%3Dx",
            "postgresql://", "postgresql",
            "file:x.db", "postgresql://u:{password}@127.0.0.1:1",
            "postgresql+psycopg://u:{password}@127.0.0.1:1/x", "sqlite:///a/../b",
        )
    ),
    "RUNLEDGER_WEBHOOK_SECRETS": (
        f"whsec_{CANARY}", "v1,whsec_" + base64.b64encode(b"k" * 32).decode(), "v1", f'"whsec_{CANARY}"',
        "whsec_", "whsec_=",
        "whsec_" + base64.b64encode(CANARY.encode() * 4).decode(), ",,,", "whsec_é", f"{CANARY} {CANARY}",
    ),
    "RUNLEDGER_SECRET_KEYS": (CANARY, CANARY * 8, "x", ",", "\u00e9" * 40, " "),
    "RUNLEDGER_NOTIFY_URL": ("https://x.example/y", "http://127.0.0.1", "https://[::1", "https://x:99999/",
    "ftp://x", "https://@"),
    "RUNLEDGER_NOTIFY_SECRETS": (f"whsec_{CANARY}", "whsec_" + base64.b64encode(b"k" * 32).decode(), "v1", "!"),
    "RUNLEDGER_TRUSTED_PROXIES": ("10.0.0.0/8", "10.0.0.1/8", "::/0", "::ffff:10.0.0.0/104", "x", "10/8",
    "1.2.3.4/33", "*"),
    "RUNLEDGER_WEBHOOK_KEY_ENCODING": ("base64", "hex", "raw", "Base64", "x"),
    "RUNLEDGER_PORT": ("tcp://10.0.0.1:8080", "8080", "-1"),
    "RUNLEDGER_SERVICE_HOST": ("10.0.0.1",),
    "RUNLEDGER_SQL_DATABASE_URL": (f"postgresql://r:{CANARY}@127.0.0.1:1/x", "x", "sqlite:///x", f"postgresql://r:{CANARY}@["),
    "RUNLEDGER_DATA_DIR": ("data", "/dev/null/x", "/proc/x", "~", "a" * 300, ""),
}  # fmt: skip
_AMOUNTS = (
    "0",
    "-1",
    "1e3",
    "1e400",
    "NaN",
    "inf",
    "9" * 5000,
    "1_0",
    " 5 ",
    "١٢",
    "5.0",
    "true",
    "",
    "0x10",
    "None",
)
_NUMBERS = (
    "RUNLEDGER_WORKER_CONCURRENCY",
    "RUNLEDGER_WORKER_CONCURRENCY",
    "RUNLEDGER_BODY_LIMIT",
    "RUNLEDGER_SWEEP_SECONDS",
)
_WORDS = ("RUNLEDGER_ADOPT", "RUNLEDGER_SQL", "RUNLEDGER_METRICS", "RUNLEDGER_LOG_FORMAT", "RUNLEDGER_LOG_LEVEL")
_FLAGS = ("RUNLEDGER_CAPTURE_EVENTS", "RUNLEDGER_DATABASE_POOLER", "RUNLEDGER_NOTIFY_ALLOW_PRIVATE")
_NAMES = (*_TEXTS, *_NUMBERS, *_WORDS, *_FLAGS)
_SECRET = ("KEY", "SECRET", "URL")
#: Seconds of a core that reading settings may take.
PROMPT = 1.0


def draw(rng: random.Random, known: Known) -> Case:
    """Draw some variables and a `.env`; sometimes for the command that checks them."""
    given = {name: _value(rng, name) for name in values.some(rng, _NAMES, 1, 2)}
    file = _file(rng)
    command = ("doctor",) if rng.random() < 0.006 else ()
    if command:  # it connects to the addresses, which must be on this machine
        given |= {"CASEDEV_BASE_URL": "http://127.0.0.1:1", "RUNLEDGER_PUBLIC_URL": "http://127.0.0.1:1"}
    return Case(command=command, settings={"environment": given, "file": file.hex()})


def _value(rng: random.Random, name: str) -> str:
    if rng.random() < 0.2:
        text = str(values.short_text(rng, 3000)[1])
        return (CANARY + text if any(part in name for part in _SECRET) else text).replace("\x00", "")
    if name in _NUMBERS or name in _FLAGS:
        return rng.choice(_AMOUNTS)
    return rng.choice(_TEXTS.get(name, ("all", "on", "debug", "json", "key", "", "ALL", "x")))


def _file(rng: random.Random) -> bytes:
    """Return the bytes of `.env`; mostly there is none."""
    if rng.random() < 0.5:
        return b""
    name = rng.choice(_NAMES)
    text = f"# comment\n{name}={_value(rng, name)}\nexport RUNLEDGER_ADOPT='none'\n"
    kind = rng.choice(("UTF-8", "UTF-16", "Latin-1", "mark", "NUL", "quotes", "garbage", "expansion", "long"))
    whole: dict[str, bytes] = {
        "UTF-8": text.encode("utf-8", "surrogatepass"),
        "UTF-16": text.encode("utf-16", "surrogatepass"),
        "Latin-1": f"{text}# für alle\n".encode("latin-1", "replace"),
        "mark": b"\xef\xbb\xbf" + text.encode("utf-8", "replace"),
        "NUL": text.encode("utf-8", "replace") + b"RUNLEDGER_ADOPT=\x00\n",
        "quotes": f"{name}=\"{CANARY}\nRUNLEDGER_JOBS='".encode(),
        "garbage": rng.randbytes(300),
        "expansion": b"A=${B}\nB=${A}\nRUNLEDGER_PUBLIC_URL=https://${A:-x}${HOME}/\n",
        "long": f"{name}={'x' * 300_000}\n".encode(),
    }
    return whole[kind]


def answered(asked: dict[str, Any]) -> dict[str, str]:
    """Read these settings, and build what uses them; report the outcome."""
    from receiver import app, errors, settings  # here: only the process that reads settings needs the product

    for name in [name for name in os.environ if name.startswith(("RUNLEDGER_", "CASEDEV_"))]:
        del os.environ[name]
    begun = time.process_time()
    with tempfile.TemporaryDirectory(prefix="runledger-fuzz-env-") as folder:
        os.chdir(folder)
        path = Path(folder) / ".env"
        if asked["file"]:
            path.write_bytes(bytes.fromhex(asked["file"]))
        try:
            os.environ.update(asked["environment"])
        except (ValueError, UnicodeEncodeError):  # what no environment can hold
            os.chdir("/")
            return {"outcome": "impossible", "text": ""}
        answer = {"outcome": "value", "text": ""}
        try:
            settings.unknown_names(path)
            settings.load_with_defaults(path)
            app.create_app(settings.load(path))
        except errors.SettingsError as refused:
            answer = {"outcome": "sentence", "text": str(refused)}
        except Exception as broke:  # noqa: BLE001 - any other is what is looked for
            last = [
                each
                for each in traceback.extract_tb(broke.__traceback__)
                if "/site-packages/" not in each.filename
            ]
            place = f"{'/'.join(Path(last[-1].filename).parts[-2:])}:{last[-1].lineno}"
            answer = {
                "outcome": "broke",
                "text": f"{type(broke).__name__} at {place}",
                "detail": traceback.format_exc(),
            }
        finally:
            os.chdir("/")
    seconds = time.process_time() - begun
    if CANARY in answer["text"]:
        return {"outcome": "echo", "text": "a secret stands in the message", "detail": answer["text"]}
    if answer["outcome"] == "sentence" and not answer["text"].strip():
        return {"outcome": "broke", "text": "an empty sentence"}
    return answer if seconds < PROMPT else {"outcome": "slow", "text": "settings took more than a second"}


def main() -> None:
    """Answer cases until there are no more."""
    for line in sys.stdin:
        answer = answered(json.loads(line))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
