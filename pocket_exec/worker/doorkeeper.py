"""Opens the code archive as a program: an older Python than the client's is told so, and reads no further.

It becomes the archive's ``__main__.py``, and keeps to what every Python can read.
"""

import json
import sys

if __name__ == "__main__":
    _mark = "pocket-exec worker " + sys.argv[2] + ": "
    try:
        with open(sys.argv[1]) as _file:  # noqa: PTH123
            _settings = json.load(_file)
    except (OSError, ValueError) as _error:
        sys.stderr.write(_mark + "the settings cannot be read: " + str(_error) + "\n")
        sys.exit(79)
    _here = ".".join(str(number) for number in sys.version_info[:2])
    if _here != _settings["versions"]["python"]:
        sys.stderr.write(
            _mark
            + "Python is "
            + _here
            + " here ("
            + sys.executable
            + ") and "
            + _settings["versions"]["python"]
            + " where the run was started; "
            + _settings["fix"]
            + "\n"
        )
        sys.exit(75)

    from pocket_exec.worker.entry import main

    main(sys.argv[1], sys.argv[2], sys.path[0])
