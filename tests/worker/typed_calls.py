"""What a type checker must know of tasks; read by mypy in ``test_typing``, never run."""

from typing import Any, assert_type

from penstock.app import Penstock
from penstock.worker import AsyncJob, Job, Task

app = Penstock("memory://")


@app.task
def add(x: int, y: int = 1) -> int:
    return x + y


@app.task(queue="mail", max_attempts=3)
async def greet(name: str, *, loud: bool = False) -> str:
    return name


assert_type(add.send(2), Job[int])
assert_type(add.send(2, y=3).result(), int)
assert_type(add.send_many([(1, 2)]), list[Job[int]])
assert_type(greet.send("Ada", loud=True), Job[str])
assert_type(greet.with_options(delay_seconds=3).send("Ada"), Job[str])
assert_type(app.job("some id"), Job[Any])
task: Task[..., Any] = greet


async def later() -> None:
    job = await greet.asend("Ada")
    assert_type(job, AsyncJob[str])
    assert_type(await job.result(), str)
    assert_type(await add.asend_many([{"x": 1}]), list[AsyncJob[int]])


add.send("two")  # wrong: arg-type
add.send()  # wrong: call-arg
add.send(1, 2, 3)  # wrong: call-arg
add.send(1, z=3)  # wrong: call-arg
greet.send(name=7)  # wrong: arg-type
greet.with_options(delay_seconds=3).send(1)  # wrong: arg-type
