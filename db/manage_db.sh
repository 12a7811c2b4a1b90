#!/bin/sh
# The database of DATABASE_URL, else of the local installation: reset | migrate | seed | verify | backup FILE | restore FILE
# (--help says more).
exec "$(dirname "$0")/../dev" db "$@"
