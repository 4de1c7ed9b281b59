#!/bin/sh
# Makes ./configure from a checkout. A release has it already.
set -e
cd "$(dirname "$0")"
exec autoreconf --install --warnings=all,no-portability "$@"
