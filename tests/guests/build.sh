#!/bin/sh
# Builds the own guests by themselves, without the project's Makefile. Arguments: targets (all guests without any).
cd "$(dirname "$0")/../.." || exit 1
exec make -s -f tests/guests/guests.mk "${@:-guests}"
