# shellcheck shell=bash
# services: the processes of scripts/run, by name.
#
# Each leads a process group: so a Ctrl-C at the terminal reaches scripts/run alone, which then stops them in
# order, and what a killed multiwatch leaves behind can be found. Each is told when scripts/run itself is killed.

declare -A PIDS=() STARTED=() # by name; when: in SECONDS
SERVICE_USER= # whom they run as
HURRY= # set: no more waiting for them
WITHHELD=() # options of env that keep the keys of the providers from them

# Ourselves, or postgres if we are root: "${AS_SERVICE[@]}" COMMAND.
services_init() {
	local key

	while read -r key; do WITHHELD+=(-u "$key"); done < <(compgen -e | grep -E '_API_KEY$|^HF_TOKEN$' || :)
	SERVICE_USER=$(id -un)
	AS_SERVICE=(env -C "$RUN_DIR" setpriv --no-new-privs)
	[ "$(id -u)" -eq 0 ] || return 0
	SERVICE_USER=postgres
	AS_SERVICE+=(--reuid=postgres --regid=postgres --init-groups)
}

service_dir() { install -d -m "$1" -o "$SERVICE_USER" "$2"; }

# service_start NAME COMMAND [ARG...]: its output goes to logs/NAME.log.
service_start() {
	local name=$1

	shift
	# 9 is the lock on RUN_DIR: ours alone.
	setsid env "${WITHHELD[@]}" "${AS_SERVICE[@]}" --pdeathsig TERM "$@" \
		</dev/null >>"$LOG_DIR/$name.log" 2>&1 9>&- &
	PIDS[$name]=$!
	STARTED[$name]=$SECONDS
}

service_is_up() { kill -0 "${PIDS[$1]:-x}" 2>/dev/null; }

# The end of its log, for people.
service_log() {
	printf '%s\n' "--- $LOG_DIR/$1.log" >&2
	tail -n 15 "$LOG_DIR/$1.log" >&2 || :
}

# services_stop SIGNAL SECONDS NAME...: ask all of them at once, wait so long, then kill.
services_stop() {
	local signal=$1 deadline=$((SECONDS + $2)) name

	shift 2
	for name; do kill -s "$signal" "${PIDS[$name]:-x}" 2>/dev/null || :; done
	for name; do
		while service_is_up "$name" && [ "$SECONDS" -lt "$deadline" ] && [ -z "$HURRY" ]; do sleep 0.05; done
		service_end "$name"
	done
}

# Whatever is left of it, and of its group.
service_end() {
	local name=$1 pid=${PIDS[$1]:-}

	[ -n "$pid" ] || return 0
	if kill -0 "$pid" 2>/dev/null; then
		say "$name did not stop in time: killed"
		kill -s KILL "$pid" 2>/dev/null || :
	fi
	kill -s KILL -- "-$pid" 2>/dev/null || :
	wait "$pid" 2>/dev/null || :
	unset "PIDS[$name]"
}
