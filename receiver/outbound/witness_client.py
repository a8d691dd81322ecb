"""The call to a witness: `add-checkpoint` of C2SP `tlog-witness` 1.0.0.

No redirect is followed, nothing is read from the environment, and an answer is read up to a limit.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass

import httpx2 as httpx

from receiver.upstream import exchange, failure_reasons
from storage.ledger import forms

#: The most bytes of an answer: some lines of up to 5 kB.
LIMIT = 64 << 10
_LONGEST_REASON = 200
_SIZE = re.compile(r"(0|[1-9][0-9]{0,17})\n", re.ASCII)


class WitnessFailed(Exception):
    """A witness gave no answer that can be used; the message says why."""


@dataclass(frozen=True)
class Answer:
    """The lines of signatures of a witness, or the `size` of the checkpoint that it has."""

    lines: Sequence[str] = ()
    size: int | None = None


class Client:
    """A client of witnesses. `timeout` is for a whole exchange, in seconds."""

    def __init__(self, timeout: float, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._timeout = timeout
        verify = exchange.tls_context()
        self._transport = transport or httpx.AsyncHTTPTransport(verify=verify, retries=0, trust_env=False)

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def add_checkpoint(self, url: str, old: int, proof: Sequence[bytes], note: str) -> Answer:
        """Send a checkpoint, and the proof that it continues one of `old` entries. Raises WitnessFailed."""
        body = "\n".join([f"old {old}", *map(forms.encoded, proof), "", note]).encode()
        try:
            async with asyncio.timeout(self._timeout):
                return _read(*await self._send(f"{url}/add-checkpoint", body))
        except TimeoutError:
            raise WitnessFailed("it did not answer in time") from None
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
            reason = failure_reasons.one_line(str(error)) or type(error).__name__
            raise WitnessFailed(f"the exchange failed: {reason}"[:_LONGEST_REASON]) from None

    async def _send(self, url: str, body: bytes) -> tuple[int, str, bytes]:
        request = httpx.Request("POST", url, content=body, headers={"content-type": "text/plain; charset=utf-8"})
        response = await self._transport.handle_async_request(request)
        try:
            content = b""
            async for part in response.aiter_raw():
                content += part
                if len(content) > LIMIT:
                    raise WitnessFailed(f"its answer has more than {LIMIT} bytes")
        finally:
            await response.aclose()
        return response.status_code, response.headers.get("content-type", ""), content


def _read(status: int, media_type: str, content: bytes) -> Answer:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise WitnessFailed("its answer is not UTF-8") from None
    if status == 200:
        return Answer(lines=text.removesuffix("\n").split("\n"))
    if status == 409 and media_type.partition(";")[0] == "text/x.tlog.size" and _SIZE.fullmatch(text):
        return Answer(size=int(text))
    said = failure_reasons.one_line(text)[:100]
    raise WitnessFailed(f"it answered {status}{_MEANING.get(status, '')}" + (f": {said}" if said else ""))


_MEANING = {
    403: " (it does not know the key of this ledger)",
    404: " (it does not know the name of this ledger)",
    409: " (it has another history of this ledger)",
    422: " (to it the checkpoint does not continue the one before)",
}
