# shellcheck shell=bash
# tests: what the tests and the harness of faults need beside the product itself.

TEST_PACKAGES=(check=/usr/include/check.h shellcheck chromium npm systemd=systemd-analyze
	libnginx-mod-http-echo=/usr/lib/nginx/modules/ngx_http_echo_module.so)

# tests_prepare: installs what is missing. Sets $node.
tests_prepare() {
	scripts/install-packages "${RUN_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
	scripts/vendor
	if ! cmp -s tests/package-lock.json tests/node_modules/.made-from; then
		echo "Fetching what the tests need"
		scripts/lib/npm-ci tests
		cp tests/package-lock.json tests/node_modules/.made-from
	fi
	# Debian's Node.js is too old; npm has one for the usual processors.
	node=$(echo tests/node_modules/node-linux-*/bin/node)
	[ -x "$node" ] || node=$(command -v node)
}
