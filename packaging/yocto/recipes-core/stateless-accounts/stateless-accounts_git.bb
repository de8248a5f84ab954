# SPDX-License-Identifier: MIT
SUMMARY = "User and group accounts for image-based Linux"
DESCRIPTION = "The shadow-utils family over a read-only image layer in /usr/lib and a local delta in /etc, the NSS \
module that joins both, and the image builder `accounts image`."
SECTION = "base/utils"
# Ours and filelock's (Unlicense up to 3.20, MIT since 3.24), and of passlib BSD-3-Clause, md5_crypt.py (Beerware), _blowfish
# (ISC) and des.py, whose terms have no name in SPDX. OE-core wants AND since it has a parser of SPDX; before it was &.
LICENSE = "${@stateless_licences(d, 'MIT BSD-3-Clause Beerware ISC LicenseRef-UnixCrypt Unlicense')}"
LAYER_FILES = "packaging/yocto/recipes-core/stateless-accounts/files"
LIC_FILES_CHKSUM = "\
    file://LICENSE;md5=c3f51d1f3603600569eb4ef603141e82 \
    file://${LAYER_FILES}/passlib-LICENSE;md5=c8449c5e10474d113ab787ed2753bafe \
    file://${LAYER_FILES}/filelock-LICENSE;md5=2c6acbdf7bb74caa37512c3a5ca6857b \
"
# Under both names: the parser of SPDX takes the prefix off.
NO_GENERIC_LICENSE[LicenseRef-UnixCrypt] = "${LAYER_FILES}/passlib-LICENSE"
NO_GENERIC_LICENSE[UnixCrypt] = "${LAYER_FILES}/passlib-LICENSE"

def stateless_licences(d, names):
    operator = ' AND ' if bb.utils.which(d.getVar('BBPATH') or '', 'lib/oe/spdx_license.py') else ' & '
    return operator.join(names.split())

# The source tree that this layer is a part of.
inherit externalsrc python3native
EXTERNALSRC = "${@os.path.realpath(os.path.join(d.getVar('THISDIR'), '../../../..'))}"
EXTERNALSRC_BUILD = "${EXTERNALSRC}"

DEPENDS = "python3-native python3-passlib-native python3-filelock-native"

# The native tools leave those of shadow-native alone, unless they are to take their place:
#   PACKAGECONFIG:append:pn-stateless-accounts-native = " shadow"
#   PREFERRED_PROVIDER_shadow-native = "stateless-accounts-native"
PACKAGECONFIG ??= "shadow ${@bb.utils.filter('DISTRO_FEATURES', 'pam', d)}"
PACKAGECONFIG:class-native ??= ""
PACKAGECONFIG[shadow] = ",,,"
# pam_accounts.so, which is made where libpam's headers are; STATELESS_WIRE of the class puts it into common-password.
# The modules are those that our services in pam.d name, and login and su of shadow-base, for which package shadow had them.
PACKAGECONFIG[pam] = ",,libpam virtual/crypt,libpam-runtime pam-plugin-rootok pam-plugin-shells \
    pam-plugin-env pam-plugin-faildelay pam-plugin-group pam-plugin-limits pam-plugin-mail pam-plugin-motd \
    pam-plugin-nologin pam-plugin-securetty"
PROVIDES:append:class-native = "${@bb.utils.contains('PACKAGECONFIG', 'shadow', ' shadow-native', '', d)}"

# The release of shadow-utils that the tools are like: that of the recipe shadow.
SHADOW_COMPAT ?= "4.20"

# Libraries are installed beside the package: the tools run without site-packages.
EXTRA_OEMAKE = "\
    PREFIX=${prefix} SBINDIR=${sbindir} BINDIR=${bindir} LIBDIR=${libdir} DATADIR=${datadir}/accounts \
    PAMDIR=${base_libdir}/security UNITDIR=${systemd_system_unitdir} PYTHON=${PYTHON} DEPS=${STATELESS_DEPS} SHADOW_COMPAT=${SHADOW_COMPAT} \
    'CC=${CC}' 'CFLAGS=${CFLAGS}' 'LDFLAGS=${LDFLAGS}' \
    ${@bb.utils.contains('PACKAGECONFIG', 'shadow', '', 'TOOLS=accounts BUSYBOX_TOOLS=', d)} \
"
STATELESS_DEPS = "${STAGING_LIBDIR_NATIVE}/${PYTHON_DIR}/site-packages"

do_configure[noexec] = "1"

do_compile () {
    oe_runmake -C nss clean
    oe_runmake -C subid clean
    oe_runmake -C pam clean
    oe_runmake all
}

do_install () {
    oe_runmake install DESTDIR=${D}
}

# shadow-base (login, su, newgrp) stays beside ours; its sg is a plain link, and leads to its set-uid newgrp.
do_install:append:class-target () {
    rm -f ${D}${bindir}/sg
    # The class has accounts image wire make it; of a package, the next version would put its own in place.
    rm -f ${D}${datadir}/accounts/nsswitch.conf
    # What package shadow has in /etc, and shadow-base has not. useradd of shadow-native knows no vendor copy of the
    # defaults, and usermod -v wants its file to be there.
    install -d ${D}${sysconfdir}/default
    install -m 0644 ${EXTERNALSRC}/nss-data/default/useradd ${D}${sysconfdir}/default/useradd
    install -m 0644 /dev/null ${D}${sysconfdir}/subuid
    install -m 0644 /dev/null ${D}${sysconfdir}/subgid
    if ${@bb.utils.contains('PACKAGECONFIG', 'pam', 'true', 'false', d)}; then
        install -d ${D}${sysconfdir}/pam.d
        install -m 0644 ${EXTERNALSRC}/${LAYER_FILES}/pam.d/* ${D}${sysconfdir}/pam.d
    fi
}

# base-passwd has no /etc/shadow: without one `usermod -p` puts hashes into passwd. While an image is made the tools are
# those of shadow-native, or ours in its place; on a machine they are ours, and do nothing where the image has all.
PACKAGE_WRITE_DEPS:append:class-target = " shadow-native"
pkg_postinst:${PN}:class-target () {
    if [ -n "$D" ]; then
        pwconv --root "$D" && grpconv --root "$D" || exit 1
    else
        pwconv && grpconv || exit 1
    fi
}

do_install:append:class-native () {
    # The build host's own interpreter may be too old, and its path too long for a #! line; a sysroot moves.
    for tool in ${D}${bindir}/* ${D}${sbindir}/*; do
        [ -f $tool ] || continue
        sed -i -e '1s|^#!.*|#!/usr/bin/env -S nativepython3 -ISXutf8|' \
            -e 's|"${prefix}/lib/accounts"|__file__.rpartition("/")[0] + "/../lib/accounts"|' $tool
    done
}

# systemd's directories are in /usr with usrmerge only; sysinit.target.wants comes with the unit.
# libsubid loads its plugin by a name without version, which would put it into ${PN}-dev.
FILES_SOLIBSDEV = ""
FILES:${PN} += "${libdir}/libnss_altfiles.so.2 ${libdir}/libsubid_altfiles.so ${base_libdir}/security ${prefix}/lib ${datadir}/accounts ${systemd_system_unitdir}"
CONFFILES:${PN}:class-target = "${sysconfdir}/subuid ${sysconfdir}/subgid ${sysconfdir}/default/useradd ${sysconfdir}/pam.d/*"
# What package shadow depends on as well: login.defs is in shadow-base, passwd and group are base-passwd's.
RDEPENDS:${PN}:class-target = "base-passwd shadow-base shadow-securetty util-linux-sulogin"
# The packages of what accounts/, passlib and filelock import; timeit has none of its own and is in python3-misc.
# tests/image/test_yocto.py compares.
RDEPENDS:${PN}:append:class-target = " python3-asyncio python3-compression python3-core python3-crypt python3-ctypes \
    python3-datetime python3-difflib python3-fcntl python3-io python3-json python3-logging python3-math \
    python3-misc python3-netclient python3-resource python3-shell python3-syslog python3-tomllib"
# In place of package shadow, which useradd.bbclass has every package with users depend on. It needs, in local.conf
# or the distribution's configuration: PREFERRED_RPROVIDER_shadow = "stateless-accounts"
RPROVIDES:${PN}:class-target = "shadow"
RCONFLICTS:${PN}:class-target = "shadow"
RREPLACES:${PN}:class-target = "shadow"

# The names that busybox and shadow-base have as well; theirs have priorities 50 and 200.
inherit update-alternatives
ALTERNATIVE_PRIORITY = "210"
ALTERNATIVE:${PN}:class-target = "passwd chfn chsh chpasswd newgrp vipw vigr"
ALTERNATIVE_LINK_NAME[passwd] = "${bindir}/passwd"
ALTERNATIVE_LINK_NAME[chfn] = "${bindir}/chfn"
ALTERNATIVE_LINK_NAME[chsh] = "${bindir}/chsh"
ALTERNATIVE_LINK_NAME[newgrp] = "${bindir}/newgrp"
ALTERNATIVE_LINK_NAME[chpasswd] = "${sbindir}/chpasswd"
ALTERNATIVE_LINK_NAME[vipw] = "${base_sbindir}/vipw"
ALTERNATIVE_LINK_NAME[vigr] = "${base_sbindir}/vigr"
ALTERNATIVE_TARGET[vipw] = "${sbindir}/vipw"
ALTERNATIVE_TARGET[vigr] = "${sbindir}/vigr"
INSANE_SKIP:${PN} += "libdir"

BBCLASSEXTEND = "native"
