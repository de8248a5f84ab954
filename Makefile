# SPDX-License-Identifier: MIT
# demo test bench lint install: see README.md.

PREFIX ?= /usr
DESTDIR ?=
SBINDIR = $(PREFIX)/sbin
BINDIR = $(PREFIX)/bin
PKGDIR = $(PREFIX)/lib/accounts
DATADIR = $(PREFIX)/share/accounts
LIBDIR ?= $(PREFIX)/lib/$(shell $(CC) -print-multiarch)
PAMDIR ?= $(LIBDIR)/security
UNITDIR ?= $(PREFIX)/lib/systemd/system
# Where the image layer lives; compiled into the NSS module.
IMAGE_DIR ?= /usr/lib
# The release of shadow-utils that the tools are like: that of DESTDIR's own package, else of this system's, else 4.20.
SHADOW_COMPAT ?= $(shell packaging/find-shadow '$(DESTDIR)')
CC ?= cc
# The interpreter of the installed tools and of the tests: the distribution's, not one in somebody's PATH.
PYTHON ?= /usr/bin/python3
VENV = .venv
RUN = $(VENV)/bin
# Directory with passlib/ and filelock/ to install beside the package. A distribution points it at its own.
DEPS ?= build/deps

# User commands go to bin, the rest to sbin, as in package passwd.
USER_TOOLS = passwd chage chfn chsh expiry gpasswd newgrp sg accounts
BUSYBOX_TOOLS = $(notdir $(wildcard shims/busybox/*))
TOOLS = $(filter-out busybox,$(notdir $(wildcard shims/*)))

.PHONY: all no-pam demo site need-mandoc test test-deps venv pip bench clients packages-test deb rpm lint install install-doc install-image-tool image clean

# pam_accounts.so is made where the headers of libpam and crypt(3) are (Debian: libpam0g-dev, libcrypt-dev): all else does without.
PAM_MODULE = $(if $(shell printf '\043include <%s>\n' security/pam_ext.h crypt.h | $(CC) $(CPPFLAGS) -E -x c - >/dev/null 2>&1 && echo yes),pam/build/pam_accounts.so)

all: nss/build/libnss_altfiles.so.2 subid/build/libsubid_altfiles.so $(or $(PAM_MODULE),no-pam) $(DEPS)

nss/build/libnss_altfiles.so.2: $(wildcard nss/*.c nss/*.h nss/*.map nss/Makefile common/*)
	$(MAKE) -C nss DATADIR=$(IMAGE_DIR)

pam/build/pam_accounts.so: $(wildcard pam/*.c pam/*.h pam/*.map pam/Makefile nss/*.c nss/*.h common/*)
	$(MAKE) -C pam DATADIR=$(IMAGE_DIR) TOOL=$(BINDIR)/accounts

no-pam:
	@echo 'pam_accounts.so is not built: the headers of libpam and crypt(3) (libpam0g-dev, libcrypt-dev) are not there'

subid/build/libsubid_altfiles.so: $(wildcard common/* subid/*.c subid/*.map subid/Makefile)
	$(MAKE) -C subid DATADIR=$(IMAGE_DIR)

build/deps:
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	    echo 'build/deps: no pip: install python3-venv, or give DEPS=DIRECTORY with passlib/ and filelock/ in it' >&2; exit 1; }
	$(PYTHON) -m venv build/pip
	build/pip/bin/pip install -q --disable-pip-version-check --no-compile --target $@.tmp 'passlib==1.7.4' 'filelock==3.20.0'
	rm -rf $@.tmp/bin $@.tmp/*.dist-info
	mv $@.tmp $@

LIBRARY = accounts nss-data $(DEPS)/passlib $(DEPS)/filelock
# Word lists and Django's extension are no part of what hashes passwords; the former have a licence of their own.
define COPY_LIBRARY
cp -R --no-preserve=ownership $(LIBRARY) $(DESTDIR)$(PKGDIR)/
find $(DESTDIR)$(PKGDIR) \( -name __pycache__ -o -name tests -o -path '*/passlib/_data' -o -path '*/passlib/ext' \) \
    -prune -exec rm -rf {} +
endef
# Whatever the umask and the modes of the checkout: users who are not root run the tools, too. Not all of PKGDIR: an
# image's index is there, and is not for everybody.
LET_ALL_READ = chmod -R u=rwX,go=rX $(addprefix $(DESTDIR)$(PKGDIR)/,$(notdir $(LIBRARY)))

install: all
	install -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(BINDIR) $(DESTDIR)$(PKGDIR) $(DESTDIR)$(DATADIR)
	$(COPY_LIBRARY)
	set -e; for tool in $(TOOLS); do \
	    case " $(USER_TOOLS) " in *" $$tool "*) dir=$(BINDIR);; *) dir=$(SBINDIR);; esac; \
	    sed 's|__file__.rpartition("/")\[0\] + "/.."|"$(PKGDIR)"|' shims/$$tool > $(DESTDIR)$$dir/.$$tool.new; \
	    chmod 755 $(DESTDIR)$$dir/.$$tool.new; \
	    mv -f $(DESTDIR)$$dir/.$$tool.new $(DESTDIR)$$dir/$$tool; \
	done
	set -e; for tool in $(BUSYBOX_TOOLS); do \
	    install -d $(DESTDIR)$(PKGDIR)/busybox; \
	    sed 's|__file__.rpartition("/")\[0\] + "/../.."|"$(PKGDIR)"|' shims/busybox/$$tool > $(DESTDIR)$(PKGDIR)/busybox/$$tool; \
	    chmod 755 $(DESTDIR)$(PKGDIR)/busybox/$$tool; \
	done
	$(MAKE) -C nss install DATADIR=$(IMAGE_DIR) DESTDIR=$(DESTDIR) LIBDIR=$(LIBDIR)
	$(MAKE) -C subid install DATADIR=$(IMAGE_DIR) DESTDIR=$(DESTDIR) LIBDIR=$(LIBDIR)
	$(if $(PAM_MODULE),$(MAKE) -C pam install DATADIR=$(IMAGE_DIR) TOOL=$(BINDIR)/accounts DESTDIR=$(DESTDIR) PAMDIR=$(PAMDIR))
	$(MAKE) -C nss-data install DESTDIR=$(DESTDIR) PREFIX=$(PREFIX) UNITDIR=$(UNITDIR) \
	    SHADOW_COMPAT=$(SHADOW_COMPAT)
	# Hash-based and unchecked: an image build that clamps mtimes must not make every start compile again.
	$(PYTHON) -m compileall -q -j0 -s '$(DESTDIR)' -p / --invalidation-mode unchecked-hash $(DESTDIR)$(PKGDIR)
	$(PYTHON) -ISXno_debug_ranges scripts/pack.py $(DESTDIR)$(PKGDIR) $(PKGDIR)
	$(LET_ALL_READ)

# Manuals and the shells' completions. Those of tools that the distribution's packages have, too, are in DATADIR for bash:
# bash-completion(1) has files of the same names.
install-doc:
	umask 022; $(PYTHON) -IS scripts/manuals.py $(DESTDIR)$(PREFIX)/share/man
	umask 022; $(PYTHON) -IS scripts/completions.py $(DESTDIR)$(DATADIR)/completions
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(DATADIR)/completions/bash/accounts
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/zsh/vendor-completions $(DESTDIR)$(DATADIR)/completions/zsh/_*
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d $(DESTDIR)$(DATADIR)/completions/fish/*.fish
	rm -rf $(DESTDIR)$(DATADIR)/completions/zsh $(DESTDIR)$(DATADIR)/completions/fish

# For a build host that makes images of other roots: `accounts` alone; the host keeps its own useradd and the rest.
install-image-tool: $(DEPS)
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(PKGDIR)
	$(COPY_LIBRARY)
	sed 's|__file__.rpartition("/")\[0\] + "/.."|"$(PKGDIR)"|' shims/accounts > $(DESTDIR)$(BINDIR)/.accounts.new
	chmod 755 $(DESTDIR)$(BINDIR)/.accounts.new
	mv -f $(DESTDIR)$(BINDIR)/.accounts.new $(DESTDIR)$(BINDIR)/accounts
	$(PYTHON) -m compileall -q -j0 -s '$(DESTDIR)' -p / --invalidation-mode unchecked-hash $(DESTDIR)$(PKGDIR)
	$(LET_ALL_READ)

venv: $(VENV)/stamp

# Only what a developer asks for installs packages; `make all` and `make install` do not.
pip:
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { apt-get -qq update && apt-get -qq install -y python3-venv >/dev/null; }

$(VENV)/stamp: pyproject.toml | pip
	$(PYTHON) -m venv $(VENV)
	$(RUN)/pip install -q --disable-pip-version-check 'passlib>=1.7.4' 'filelock>=3.12' pytest pytest-xdist hypothesis ruff mypy import-linter bitbake-setup jsonschema mkdocs-material
	touch $@

# What the tests need of Debian beyond python3, gcc, make and package passwd. Debian 13 has no pseudo; unstable has pivot_root
# in util-linux-extra.
TEST_PACKAGES = btrfs-progs strace shellcheck debootstrap systemd systemd-container systemd-userdbd libnss-systemd valgrind libcrypt1 libpam0g-dev libcrypt-dev python3-venv openssl openssh-client git \
    fakeroot fakechroot proot bindfs e2fsprogs mandoc man-db zsh fish patch util-linux-extra
TEST_PACKAGES += $(if $(findstring trixie,$(shell . /etc/os-release && echo $$VERSION_CODENAME)),,pseudo)
test-deps: $(VENV)/stamp
	@missing=; for p in $(TEST_PACKAGES); do \
	    dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $$missing >/dev/null; fi

lint: venv test-deps
	$(RUN)/pytest tests/lint

# A process for each core, and two more for while they wait for a console or a lock, takes file after file, in the order of
# their names: nearly all of the long ones come first.
# No two tests share a root, but tests of a file share what it takes minutes to make.
PARALLEL ?= -n $(shell expr $$(nproc) + 2) --dist loadfile --no-loadscope-reorder

# What is replayed and compared with the real tools is an installed tree, as a machine would have it.
test: venv test-deps all
	rm -rf build/root
	$(MAKE) -s install DESTDIR=$(CURDIR)/build/root
	# The real tools know no vendor copies of login.defs and default/useradd.
	rm -rf build/root$(DATADIR)
	ACCOUNTS_TOOLS=build/root $(RUN)/pytest tests $(PARALLEL)

# Packages, built and installed in fresh roots: minutes, and a mirror of Debian's.
packages-test: venv test-deps
	ACCOUNTS_PACKAGES=1 $(RUN)/pytest tests/packages

# Debian's packages of this tree, in build/debs.
deb:
	scripts/deb.sh build/debs

# RPM packages of this tree, in build/rpms.
rpm:
	scripts/rpm.sh build/rpms

# Every client of the account tools in a classic root with Debian's and in a stateless one with ours; `make test`
# runs the short part.
clients: venv test-deps all
	$(RUN)/python -m tests.clients

demo: pip
	@$(MAKE) -s all
	@$(PYTHON) -IS tests/e2e/demo.py

# The documentation as a site, in build/site; links that lead nowhere are errors.
site: need-mandoc venv
	NO_MKDOCS_2_WARNING=1 $(RUN)/mkdocs build -q

need-mandoc:
	@command -v mandoc >/dev/null || { echo 'make site: mandoc is needed, which turns the manuals into pages' >&2; exit 1; }

bench: venv all
	$(RUN)/python tests/bench/bench_tools.py
	$(RUN)/python tests/bench/bench_many.py
	$(RUN)/python tests/bench/bench_nss.py
	$(RUN)/python tests/bench/bench_image.py

# The whole image job on a root directory, for builds that have nothing but make:
# make image ROOT=/path [RULES="FILE..."] [LEDGER=FILE]
image:
	@[ -n "$(ROOT)" ] || { echo 'make image needs ROOT=/path/of/rootfs' >&2; exit 2; }
	@[ -d "$(ROOT)/etc" ] || { echo 'make image: $(ROOT)/etc is not there: ROOT is the directory of a built root' >&2; exit 2; }
	$(MAKE) install DESTDIR=$(ROOT)
	shims/accounts image seed $(ROOT) $(LEDGER:%=--ledger %)
	[ -z "$(RULES)" ] || shims/accounts image stateless $(ROOT) --check-empty error --rules $(RULES)
	shims/accounts image wire $(ROOT)
	shims/accounts image check $(ROOT) $(LEDGER:%=--ledger %) $(if $(RULES),--rules $(RULES))

clean:
	rm -rf build nss/build subid/build pam/build
