"""The official Python SDK as a client of the gateway: python.py <legacy|auto> <url>.

Lists, calls, reads, follows progress and cancels; the first thing that is not as it should be ends it with an error.
"""

import sys

import anyio
from mcp import Client


async def main(mode: str, url: str) -> None:
    async with Client(url, mode=mode) as client:
        assert (client.protocol_version == "2026-07-28") == (mode == "auto"), client.protocol_version

        tools = [tool.name for tool in (await client.list_tools()).tools]
        assert "fixture_test_simple_text" in tools and all(name.startswith("fixture_") for name in tools), tools
        prompts = [prompt.name for prompt in (await client.list_prompts()).prompts]
        assert "fixture_test_simple_prompt" in prompts, prompts
        resources = [str(resource.uri) for resource in (await client.list_resources()).resources]
        uri = next(uri for uri in resources if uri.endswith("test://static-text"))

        simple = await client.call_tool("fixture_test_simple_text", {})
        assert simple.content[0].text == "This is a simple text response for testing.", simple
        content = (await client.read_resource(uri)).contents[0]
        assert content.text == "This is the content of the static text resource.", content
        assert str(content.uri) == uri, content
        prompt = await client.get_prompt("fixture_test_prompt_with_arguments", {"arg1": "a", "arg2": "b"})
        assert prompt.messages[0].content.text == "Prompt with arguments: arg1='a', arg2='b'", prompt

        steps = []

        async def step(progress: float, total: float | None, message: str | None) -> None:
            steps.append(progress)

        await client.call_tool("fixture_test_tool_with_progress", {}, progress_callback=step)
        assert steps == [0, 50, 100], steps

        before = await cancelled(client)
        with anyio.CancelScope() as scope:

            async def first_step(progress: float, total: float | None, message: str | None) -> None:
                scope.cancel()

            await client.call_tool("fixture_test_wait", {}, progress_callback=first_step)
        assert scope.cancelled_caught
        with anyio.fail_after(5):
            while await cancelled(client) == before:
                await anyio.sleep(0.05)
    print("all is well")


async def cancelled(client: Client) -> int:
    """How many waiting calls were cancelled so far."""
    return int((await client.call_tool("fixture_test_waits_cancelled", {})).content[0].text)


anyio.run(main, *sys.argv[1:])
