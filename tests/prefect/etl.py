"""A deployment for the tests, served until killed: it logs, runs a task, and waits or fails when asked to."""

import logging
import time

from prefect import flow, get_run_logger, task


@task
def double(number: int) -> int:
    get_run_logger().debug("doubling %s", number)
    return number * 2


@flow(name="etl")
def etl(number: int = 1, lines: int = 0, wait: float = 0.0, fail: bool = False) -> int:
    logger = get_run_logger()
    logger.info("number is %s", number)
    for line in range(lines):
        logger.log(logging.WARNING if line % 2 else logging.INFO, "line %s", line)
    end = time.monotonic() + wait
    while time.monotonic() < end:
        time.sleep(0.1)
    if fail:
        raise ValueError("broken on purpose")
    return double(number)


if __name__ == "__main__":
    etl.serve(name="nightly", tags=["prod", "night"], parameters={"number": 5}, description="Loads the numbers")
