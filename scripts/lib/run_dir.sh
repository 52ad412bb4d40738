# shellcheck shell=bash
# run_dir: which directory a service of scripts/run lives in: RUN_DIR as given, else run/ of the checkout, or a place
# that PostgreSQL's user reaches.

# is_closed DIRECTORY: others cannot reach what is in it, as in /root.
is_closed() {
	local dir=$1

	while [[ $(stat -c %a "$dir") =~ [1357]$ ]]; do
		[ "$dir" != / ] || return 1
		dir=$(dirname "$dir")
	done
}

# Before the working directory changes. Every process carries it: so it can be told whose it is.
run_dir_begin() { export RUN_DIR=${RUN_DIR:+$(realpath -ms "$RUN_DIR")}; }

# In the checkout, ROOT. Root's PostgreSQL runs as another user, who must reach it.
run_dir_end() {
	if [ -z "$RUN_DIR" ] && [ "$(id -u)" -eq 0 ] && is_closed "$ROOT"; then
		RUN_DIR=/var/tmp/lesson-tracer
		echo "Others cannot reach $ROOT: running in $RUN_DIR"
	fi
	RUN_DIR=${RUN_DIR:-$ROOT/run}
}
