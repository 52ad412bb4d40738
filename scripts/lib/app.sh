# shellcheck shell=bash
# app: a copy of what a service runs, where the service user can read it.

# app_copy BUILD_DIR DIRECTORY: of the checkout that is the working directory.
app_copy() {
	local build=$1 app=$2

	rm -rf "$app"
	mkdir -p "$app/$build" "$app/fcgi/lessons/generator/llm"
	cp "$build"/*.fcgi "$build/lesson-generator" "$app/$build/"
	cp fcgi/lessons/generator/llm/*.json "$app/fcgi/lessons/generator/llm/"
	cp -R html "$app/"
	chmod -R u=rwX,go=rX "$app"
}

# app_update DIRECTORY: copy again while it is in use. Each file is the old one or the new one, and never half of it.
app_update() {
	local app=$1 build file

	for build in "$app"/build*; do
		app_copy "$(basename "$build")" "$app.new"
		while IFS= read -rd '' file; do
			mkdir -p "$(dirname "$app/$file")"
			mv -fT "$app.new/$file" "$app/$file"
		done < <(cd "$app.new" && find . -type f -print0)
	done
	rm -rf "$app.new"
}
