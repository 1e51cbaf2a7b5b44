"""What docs/workers.md and docs/from-celery-rq-dramatiq.md show runs as it stands."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_SECONDS = 60


@pytest.mark.parametrize("page", ["workers.md", "from-celery-rq-dramatiq.md"])
def test_the_examples_of_a_page_run_one_after_the_other(page: str, tmp_path: Path) -> None:
    text = (ROOT / "docs" / page).read_text()
    blocks = [block.partition("```")[0] for block in text.split("```python\n")[1:]]
    ours = [block for block in blocks if "import celery" not in block and "# Celery" not in block]
    assert ours
    # `penstock work` between two blocks is what empties the queues
    program = "\nfrom penstock.testing import run_until_idle; run_until_idle(app)\n".join(ours)
    (tmp_path / "shop.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "shop.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
