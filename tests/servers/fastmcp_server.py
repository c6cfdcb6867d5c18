"""A small FastMCP server on loopback: fastmcp_server.py <port>."""

import sys

from fastmcp import FastMCP

server = FastMCP("small")


@server.tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool
def shout(text: str) -> str:
    """Says it louder."""
    return text.upper()


@server.resource("memo://today")
def today() -> str:
    """The memo of the day."""
    return "Water the plants."


@server.resource("memo://{name}/note")
def note(name: str) -> str:
    """The note of somebody."""
    return f"A note of {name}."


@server.prompt
def review(code: str) -> str:
    """Asks for a review."""
    return f"Please review: {code}"


server.run(transport="http", host="127.0.0.1", port=int(sys.argv[1]), show_banner=False)
