"""Runs commands of the AWS CLI one after the other: a JSON list of words a line in, a JSON list of status, output and
error out.

The `aws` command is this without the loop; loading it takes longer than most commands.
"""

import contextlib
import io
import json
import sys

from awscli.clidriver import create_clidriver


def main() -> None:
    for line in sys.stdin:
        out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = create_clidriver().main(json.loads(line))
        out.flush()
        print(json.dumps([status, out.buffer.getvalue().decode(), err.getvalue()]), flush=True)


if __name__ == "__main__":
    main()
