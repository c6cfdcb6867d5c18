#!/usr/bin/env bash
# Becomes a Prefect server on 127.0.0.1: start.sh <python> <home> <port>. It keeps everything below <home> and tells nobody.
# PREFECT_SERVER_API_AUTH_STRING and other settings of the server come with the environment.
set -euo pipefail

export PREFECT_HOME=$2 PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=1
cd "$2"
exec "$1" -m prefect server start --host 127.0.0.1 --port "$3" --no-ui
