# make               build the four programs into build/
# make run           scripts/run: everything, private, on this machine
# make test          scripts/test: everything that guards the product
# make unit          unit tests only: no database, nothing installed
# make unit-valgrind the same under valgrind
# make chaos         scripts/chaos: faults under load; SEED=, TIME= in seconds, ONLY=, RESULTS=
# make bench         scripts/bench: how fast it is, beside the targets and others; ROUNDS=, QUICK=yes, ONLY=, RUN_DIR=, RESULTS=
# make bench-large   the same with a million traces
# make bench-generate  the same of provider calls
# make bench-profile   where the time goes
# make fuzz          scripts/fuzz: hostile input; TIME= in seconds a target, RUNS=, ONLY=, JOBS=, RESULTS=
# make fuzz-coverage what the inputs in tests/fuzz/corpus cover of the parsers, by line
# make siege         scripts/siege: what one user notices while others besiege the service
# make secrets       10,000 keys in six codes, looked for in database, spool, logs and answers
# make check         format, layers, what is banned, hardening, analysers; unit tests under sanitizers and valgrind;
#                    takes clang-format, clang-tidy, cppcheck, shellcheck and valgrind of Debian
# make install       into $(DESTDIR)$(PREFIX)
# make readme        write the settings table into README.md
# make clean         remove what make made
#
# SAN=address,undefined, or SAN=thread, builds with sanitizers into build-$(SAN)/.
# A new .c file needs no change here.

PREFIX  ?= /usr/local
INSTALL ?= install
CC      ?= cc
PKGS    := libpq json-c libcurl libcrypto
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS))
WARN    := -Wall -Wextra -Werror -Wshadow -Wconversion -Wformat=2 -Wstrict-prototypes \
           -Wmissing-prototypes -Wvla
HARDEN  := -fstack-protector-strong -fstack-clash-protection -fno-delete-null-pointer-checks \
           -fPIE
CFLAGS  ?= -O2 -g
override CFLAGS += -std=c17 -D_GNU_SOURCE -I. $(PKG_CFLAGS) $(WARN) $(HARDEN)
DATA_DIR ?= $(PREFIX)/share/lesson-tracer
override CFLAGS += -DSCHEMA='"$(SCHEMA)"' -DDATA_DIR='"$(DATA_DIR)"'
override LDFLAGS += -pie -Wl,-z,relro,-z,now,-z,noexecstack
PKG_LIBS := $(shell pkg-config --libs $(PKGS))
LDLIBS  += -pthread -lfcgi $(PKG_LIBS) -lm
B       := build$(SAN:%=-%)
ifdef SAN
override CFLAGS  += -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all
override LDFLAGS += -fsanitize=$(SAN)
else
override CFLAGS  += -D_FORTIFY_SOURCE=2 -ftrivial-auto-var-init=zero
endif
ifneq ($(findstring x86_64,$(shell $(CC) -dumpmachine)),)
override CFLAGS  += -fcf-protection=full
endif

COMMON    := $(wildcard common/*.c)
LLM       := $(wildcard fcgi/lessons/generator/llm/*.c)
GENERATOR := $(filter-out %/main.c,$(wildcard fcgi/lessons/generator/*.c)) $(LLM)
SAMPLE    := $(filter-out %/main.c,$(wildcard fcgi/sample/*.c))
RESPONDER := $(COMMON) fcgi/http.c fcgi/answer.c fcgi/api.c fcgi/rate.c fcgi/record.c
SCHEMA    := $(basename $(notdir $(lastword $(sort $(wildcard sql/migrations/*.sql)))))
UNIT      := $(wildcard tests/unit/*.c)
WRAPPED   := fdatasync fstatvfs fsync ftruncate log_write pwrite
FUZZ      := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c))
FUZZ_LIB  := $(filter-out %/log.c %/replay.c,$(wildcard tests/fuzz/lib/*.c))
PROGRAMS  := $(addprefix $(B)/,traces.fcgi lessons.fcgi sample.fcgi lesson-generator)
objs       = $(patsubst %.c,$(B)/%.o,$1)

all: $(PROGRAMS)

$(B)/traces.fcgi:      $(call objs,$(RESPONDER) $(wildcard fcgi/traces/*.c))
$(B)/lessons.fcgi:     $(call objs,$(RESPONDER) $(wildcard fcgi/lessons/*.c))
$(B)/sample.fcgi:      $(call objs,$(RESPONDER) $(wildcard fcgi/sample/*.c))
$(B)/lesson-generator: $(call objs,$(COMMON) $(GENERATOR) fcgi/lessons/generator/main.c)
$(B)/unit:             $(call objs,$(RESPONDER) fcgi/lessons/request.c $(GENERATOR) $(SAMPLE) $(UNIT))
$(B)/unit:             LDLIBS += $(shell pkg-config --libs check)
# What the unit tests replace to play a disk that fails.
$(B)/unit:             override LDFLAGS += $(WRAPPED:%=-Wl,--wrap=%)

# Each target of the fuzzer: a member of the archive comes in only if the target does not bring what
# it has. Its main() is libFuzzer's, or else that of replay.c.
$(B)/fuzz/product.a: $(call objs,$(filter-out common/db.c,$(RESPONDER)) fcgi/traces/query.c \
    $(wildcard fcgi/traces/[es]*.c) fcgi/lessons/request.c $(GENERATOR) $(SAMPLE) $(FUZZ_LIB))
	@mkdir -p $(@D)
	rm -f $@
	ar rcs $@ $^
$(FUZZ:%=$(B)/fuzz/%): $(B)/fuzz/%: $(B)/tests/fuzz/%.o $(if $(FUZZER),,$(B)/tests/fuzz/lib/replay.o) $(B)/fuzz/product.a
	$(CC) $(LDFLAGS) $(FUZZER) -o $@ $^ $(LDLIBS)
fuzz-programs: $(FUZZ:%=$(B)/fuzz/%)

$(PROGRAMS) $(B)/unit:
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# What was built with other flags is built again.
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CFLAGS)' | cmp -s - $@ || echo '$(CC) $(CFLAGS)' > $@

$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/fcgi/lessons/main.o: sql/migrations # its SCHEMA

run:
	scripts/run

test:
	scripts/test

chaos:
	TEST_BUILD_DIR=$(B) scripts/chaos $(SEED:%=--seed %) $(TIME:%=--time %) $(ONLY:%=--only %) $(RESULTS:%=--results %)

bench bench-large bench-generate bench-profile:
	scripts/bench $(patsubst bench-%,%,$(filter bench-%,$@)) $(ROUNDS:%=--rounds %) $(if $(QUICK),--quick) \
	    $(ONLY:%=--only %) $(RUN_DIR:%=--run-dir %) $(RESULTS:%=--results %)

fuzz:
	scripts/fuzz $(TIME:%=--time %) $(RUNS:%=--runs %) $(ONLY:%=--only %) $(JOBS:%=--jobs %) $(RESULTS:%=--results %)

fuzz-coverage:
	scripts/fuzz --coverage $(ONLY:%=--only %)

# The inputs of tests/fuzz/corpus through the targets, without libFuzzer; a line for each.
fuzz-replay: fuzz-programs
	@for target in $(FUZZ); do \
	    $(B)/fuzz/$$target tests/fuzz/corpus/$$target || { echo "$$target: failed"; failed=1; }; done; test -z "$$failed"

siege:
	scripts/siege

NODE := $(firstword $(wildcard tests/node_modules/node-linux-*/bin/node) node)
secrets: $(PROGRAMS)
	SECRETS=10000 TEST_BUILD_DIR=$(B) $(NODE) --test --test-force-exit tests/http/secrets.test.js

unit: $(B)/unit # sanitized: in one process, since looking for leaks in a thousand takes minutes
	$(if $(SAN),CK_FORK=no) $(B)/unit

unit-program: $(B)/unit

unit-valgrind: $(B)/unit
	CK_FORK=no valgrind -q --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
	    --error-exitcode=1 $(B)/unit

check: format-check layers banned-functions banned-secrets hardening units shellcheck cppcheck clang-tidy analyzer
	$(MAKE) unit SAN=address,undefined
	$(MAKE) unit SAN=thread
	$(MAKE) unit-valgrind

# What no program, and nothing in the tree, may be without or have.
banned-functions banned-secrets:
	@scripts/lib/banned $(@:banned-%=%)

hardening: $(PROGRAMS)
	@scripts/lib/hardening $(PROGRAMS)

units: $(PROGRAMS)
	@scripts/lib/units $(B)

layers: # common/ knows nothing of fcgi/; one file knows each library
	@! grep -n '"fcgi/' common/*.[ch]
	@! grep -ln 'libpq-fe.h' $$(find common fcgi -name '*.[ch]') | grep -v '^common/db.c$$'
	@! grep -ln 'fcgiapp.h' $$(find common fcgi -name '*.[ch]') | grep -v '^fcgi/http.c$$'
	@! grep -ln 'json-c/' $$(find common fcgi -name '*.[ch]') | grep -v '^common/json.[ch]$$'

format format-check:
	clang-format $(if $(findstring check,$@),--dry-run -Werror,-i) \
	    $$(find common fcgi tests -name '*.[ch]' -not -path '*/node_modules/*')

readme: $(B)/traces.fcgi
	$(B)/traces.fcgi --settings-markdown > $(B)/settings.md
	sed -i -e '/<!-- settings -->/,/<!-- \/settings -->/{//!d}' \
	    -e '/<!-- settings -->/r $(B)/settings.md' README.md

# Analysers, each over what the programs are made of. Files beside each other: make -j.
SOURCES  := $(sort $(RESPONDER) $(wildcard fcgi/*/*.c) $(GENERATOR) fcgi/lessons/generator/main.c)
ANALYSED := $(filter-out -Werror -W% -f%,$(CFLAGS))

analyzer: $(SOURCES:%=$(B)/analyzer/%.o)

$(B)/analyzer/%.o: % $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fanalyzer -MMD -MP -c -o $@ $<

clang-tidy: $(SOURCES:%=$(B)/clang-tidy/%)

$(B)/clang-tidy/%: % scripts/lib/clang-tidy.yml $(B)/flags
	@mkdir -p $(@D)
	clang-tidy --quiet --config-file=scripts/lib/clang-tidy.yml $< -- $(ANALYSED)
	@touch $@

# It does not know __VA_OPT__, so what is logged is left out; nor that POSIX has NULL a pointer, where it ends arguments.
cppcheck:
	cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability --inline-suppr \
	    --suppress=varFuncNullUB '-D__VA_OPT__(...)=' \
	    '-Dlog_write(level,id,event,...)=log_line(level,id,event)' -D_GNU_SOURCE -DSCHEMA='"x"' -DDATA_DIR='"x"' -I. common fcgi

shellcheck:
	@status=0; for file in scripts/* scripts/lib/* .ci/run; do \
	    ! head -n 1 $$file 2>/dev/null | grep -q '^#!.*sh$$' || shellcheck -x -a $$file || status=1; done; exit $$status

install: all
	$(INSTALL) -d $(addprefix $(DESTDIR)$(PREFIX)/,lib/lesson-tracer/scripts/lib share/lesson-tracer/html \
	    share/lesson-tracer/sql/migrations share/lesson-tracer/sql/views share/lesson-tracer/nginx/snippets)
	$(INSTALL) $(PROGRAMS) $(DESTDIR)$(PREFIX)/lib/lesson-tracer/
	$(INSTALL) scripts/migrate scripts/cleanup scripts/restart scripts/token scripts/user $(DESTDIR)$(PREFIX)/lib/lesson-tracer/scripts/
	$(INSTALL) -m 644 $(addprefix scripts/lib/,app.sh common.sh conninfo.sh operator.sh run_dir.sh) $(DESTDIR)$(PREFIX)/lib/lesson-tracer/scripts/lib/
	$(INSTALL) -m 644 fcgi/lessons/generator/llm/*.json $(DESTDIR)$(PREFIX)/share/lesson-tracer/
	$(INSTALL) -m 644 sql/migrations/*.sql $(DESTDIR)$(PREFIX)/share/lesson-tracer/sql/migrations/
	$(INSTALL) -m 644 sql/views/*.sql $(DESTDIR)$(PREFIX)/share/lesson-tracer/sql/views/
	$(INSTALL) -m 644 nginx/*.conf $(DESTDIR)$(PREFIX)/share/lesson-tracer/nginx/
	$(INSTALL) -m 644 nginx/snippets/*.conf $(DESTDIR)$(PREFIX)/share/lesson-tracer/nginx/snippets/
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	for unit in scripts/systemd/*; do sed 's|/usr/local|$(PREFIX)|' $$unit > $(DESTDIR)$(PREFIX)/lib/systemd/system/$${unit##*/}; done
	cp -R html/. $(DESTDIR)$(PREFIX)/share/lesson-tracer/html/
	rm -rf $(DESTDIR)$(PREFIX)/share/lesson-tracer/html/node_modules

clean:
	rm -rf build build-*

.PHONY: FORCE all run readme test chaos bench bench-large bench-generate bench-profile fuzz fuzz-coverage fuzz-programs fuzz-replay siege secrets \
        unit unit-program unit-valgrind check layers banned-functions \
        banned-secrets hardening units shellcheck cppcheck clang-tidy analyzer format format-check install clean
-include $(shell find build* -name '*.d' 2>/dev/null)
