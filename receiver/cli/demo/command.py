"""The demo: a backend submits a dozen runs to the real server, with late, lost and forged reports."""

from __future__ import annotations

import sys

from receiver.cli import event_loop, options
from receiver.cli.demo import backend, environment, history
from receiver.cli.render import terminal
from receiver.server import uvicorn_server

app = event_loop.commands()


@app.command()
def demo(as_json: options.Json = False) -> None:
    """Show Runledger at work in ten seconds, without a Case.dev key.

    A sandbox of Case.dev and the real server run on free ports of this
    machine, and a backend submits a dozen runs. On a terminal both go on until
    Ctrl-C; with --json the runs are printed once they have ended, and it exits.
    The data is in RUNLEDGER_DATA_DIR, ./data/demo unless it is set.

    \b
    Example:
      runledger demo
    """
    folder = environment.folder()
    environment.empty(folder)
    out = terminal.console()
    stays = out.is_terminal and sys.stdin.isatty() and not as_json

    async def play() -> None:
        async with environment.running(folder) as servers:
            if not as_json:
                print(
                    f"A sandbox of Case.dev listens on {servers.sandbox}, Runledger on {servers.server}.",
                    flush=True,
                )
            if stays:
                with terminal.spinner("adopting the runs of the two weeks before"):
                    await history.fill(servers)
            agent, seconds = await backend.play(servers)
            await backend.show(servers, agent, seconds, stays=stays, as_json=as_json)
            if stays:
                await backend.show_pages(servers)
                await uvicorn_server.until_signalled()
                out.print("Stopped; the data stays.")

    uvicorn_server.run(play)
