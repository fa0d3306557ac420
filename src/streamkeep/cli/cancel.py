"""
Stop a stream, and say what became of it.
"""

import json

import click

from streamkeep.cli import base


@click.command()
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="Print the receipt as JSON.")
@base.where
def cancel(id: str, as_json: bool, url: str | None, api_key: str | None) -> None:
    """
    Stop a stream, and say what became of it.

    What there is of the answer is kept. Stopping twice is stopping once.
    """
    base.run(_cancel(id, as_json, url, api_key))


async def _cancel(id: str, as_json: bool, url: str | None, api_key: str | None) -> int:
    from streamkeep.terminal import words
    from streamkeep.terminal.access import reach

    async with reach(url, api_key, read_only=False) as streams:
        receipt = await streams.cancel(id)
    if receipt is None:
        early = {"id": id, "object": "stream", "state": "cancelling", "remembered_s": 60}
        text = f"There is no stream {id} yet. If it is started within 60 s, it is stopped at once."
        click.echo(json.dumps(early) if as_json else text)
    else:
        click.echo(json.dumps(receipt) if as_json else words.receipt(receipt))
    return base.DONE


COMMAND = cancel
