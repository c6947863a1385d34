"""The programs that the tests call, and where the tested files are."""

import os
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DEPLOY = ROOT / "deploy"
# Programs of the packages in requirements.txt.
TOOLS = Path(sys.executable).parent


def needs(*programs):
    missing = [program for program in programs if shutil.which(program) is None]
    if missing and "AFTERWORD_TEST_NO_SKIP" in os.environ:
        raise SystemExit(f"not installed: {', '.join(missing)}")
    return unittest.skipIf(missing, f"not installed: {', '.join(missing)}")


def output(*command, **options):
    result = subprocess.run(command, capture_output=True, text=True, **options)
    if result.returncode != 0:
        raise AssertionError(f"{command[0]} failed:\n{result.stdout}{result.stderr}")
    return result.stdout
