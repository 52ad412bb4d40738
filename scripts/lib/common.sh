# shellcheck shell=bash
# common: saying, failing, waiting.

STEP= # the process of the step under way

say() { printf '%s\n' "$*" || :; } # who listens may be gone

die() {
	printf '%s: %s\n' "$0" "$*" >&2 || :
	exit 1
}

# Run a command that takes long, so that a signal is heeded while it runs.
step() {
	local status=0

	"$@" &
	STEP=$!
	wait "$STEP" || status=$?
	STEP=
	return "$status"
}

pause() { step sleep "$1"; }

# The value as a shell reads it back: bare where it can be, for readers that are no shells.
quote() {
	case $1 in
	*[!A-Za-z0-9_./:@%?=+,-]*) printf "'%s'" "${1//\'/\'\\\'\'}" ;;
	*) printf %s "$1" ;;
	esac
}

random_hex() { openssl rand -hex "$1"; }
