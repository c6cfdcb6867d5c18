#!/usr/bin/env bash
# Installs the pinned Prefect into a virtual environment of its own, once, and prints the path of its python.
# Needs python3 (3.10 or newer, with venv) and a package index; about 260 MB.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../installed.sh"

fill() { python_packages "$folder"; }

installed prefect "$here/requirements.txt"
echo "$folder/bin/python"
