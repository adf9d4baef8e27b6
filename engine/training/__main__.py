"""`python -m engine.training RUN.toml`: the training program by itself."""

import sys

from engine.training.program import main

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
