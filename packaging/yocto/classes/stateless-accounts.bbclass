# SPDX-License-Identifier: MIT
#
# An image whose accounts are in /usr/lib and whose /etc is empty, from one line in an image recipe or local.conf:
#
#   IMAGE_CLASSES += "stateless-accounts"
#   IMAGE_FEATURES += "stateless"
#
# Calls the native `accounts image` and has no logic of its own.

# Rule files for the rest of /etc, in order; empty leaves it alone.
STATELESS_RULES ??= "${STAGING_DATADIR_NATIVE}/accounts/rules/oe-core-image-minimal.rules"
# What to do about entries of /etc that no rule allows: no, warn or error.
STATELESS_CHECK_EMPTY ??= "error"
# Users and groups (patterns) that stay in /etc.
STATELESS_KEEP ??= ""
# The id ledger that all images share, kept under version control in a layer; empty for the one in the image.
STATELESS_LEDGER ??= ""
# Root directories or ledgers of images that were shipped before.
STATELESS_PREVIOUS ??= ""
# Fixed ids: by default the tables of useradd-staticids.
STATELESS_PINS ??= "${@stateless_tables(d)}"
# Severities of findings, NAME=fail|warn|ignore; `accounts image check --help` lists the names.
STATELESS_FINDINGS ??= ""
# Options of `accounts image wire`: "--pam" has users of the image change their passwords (the feature pam).
STATELESS_WIRE ??= ""
# All names of the image, for what runs after the accounts have left /etc.
STATELESS_NAMES = "${WORKDIR}/stateless-names"

# The feature brings the tools and the NSS module.
FEATURE_PACKAGES_stateless = "stateless-accounts"

# chown by name in do_image and later: pseudo takes the first of these directories that has etc/passwd.
PSEUDO_PASSWD:prepend = "${@bb.utils.contains('IMAGE_FEATURES', 'stateless', '${STATELESS_NAMES}:', '', d)}"

# After the whole of do_rootfs: every ROOTFS_POSTPROCESS_COMMAND (of which systemd_sysusers_check and
# tidy_shadowutils_files read /etc/passwd), and the removal of packages whose scripts call useradd.
python () {
    if bb.utils.contains('IMAGE_FEATURES', 'stateless', True, False, d):
        d.appendVarFlag('do_rootfs', 'postfuncs', ' stateless_accounts')
        d.appendVarFlag('do_rootfs', 'depends', ' stateless-accounts-native:do_populate_sysroot')
        d.appendVarFlag('do_rootfs', 'cleandirs', ' ${STATELESS_NAMES}')
        d.appendVarFlag('do_rootfs', 'file-checksums', ' ' + stateless_files(d))
}

def stateless_tables(d):
    """The files of USERADD_UID_TABLES and USERADD_GID_TABLES as --pins takes them."""
    found = []
    for variable, form in (('USERADD_UID_TABLES', 'passwd'), ('USERADD_GID_TABLES', 'group')):
        for table in (d.getVar(variable) or '').split():
            path = bb.utils.which(d.getVar('BBPATH') or '', table)
            if not path:
                bb.fatal('%s: %s is not in BBPATH' % (variable, table))
            found.append('%s=%s' % (form, path))
    return ' '.join(found)

def stateless_files(d):
    """The files whose content do_rootfs depends on, for its file-checksums: rules, id tables, ledgers of earlier images.

    Not STATELESS_LEDGER: the task writes it itself, and would run again after each run. Not root directories of
    earlier images. Not what stateless-accounts-native brings, of which do_rootfs depends on the task.
    """
    native = d.getVar('STAGING_DIR_NATIVE') + '/'
    rules = [path for path in (d.getVar('STATELESS_RULES') or '').split() if not path.startswith(native)]
    for path in rules:  # grows by what is included
        # What a file includes is known again when it changed.
        bb.parse.mark_dependency(d, path)
        if os.path.isfile(path):
            with open(path, errors='replace') as file:
                words = [line.split() for line in file]
            beside = [os.path.join(os.path.dirname(path), *line[1:]) for line in words if line[:1] == ['include']]
            rules += [name for name in beside if name not in rules]
    others = (d.getVar('STATELESS_PREVIOUS') or '').split()
    for pin in (d.getVar('STATELESS_PINS') or '').split():
        form, _, path = pin.partition('=')
        others.append(path or form)
    ledger = (d.getVar('STATELESS_LEDGER') or '').split()
    paths = rules + [path for path in others if not os.path.isdir(path)]
    return ' '.join('%s:%s' % (path, os.path.exists(path)) for path in paths if path not in ledger)

def stateless_run(d, command, *arguments):
    """Run `accounts image COMMAND IMAGE_ROOTFS ARGUMENTS`; its complaints are warnings, a failure is fatal."""
    import subprocess
    environment = dict(os.environ, PATH=d.getVar('PATH'))
    epoch = d.getVar('REPRODUCIBLE_TIMESTAMP_ROOTFS') or d.getVar('SOURCE_DATE_EPOCH')
    if epoch:
        environment['SOURCE_DATE_EPOCH'] = epoch
    words = ['accounts', 'image', command, d.getVar('IMAGE_ROOTFS')] + list(arguments)
    bb.note(' '.join(words))
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    for line in done.stdout.splitlines():
        (bb.error if done.returncode else bb.note)(line)
    for line in done.stderr.splitlines():
        (bb.error if done.returncode else bb.warn)(line)
    if done.returncode:
        bb.fatal('accounts image %s failed with exit status %d' % (command, done.returncode))

def stateless_options(d, *pairs):
    """For each (option, variable): the option before every word of the variable."""
    return [word for option, variable in pairs for value in (d.getVar(variable) or '').split() for word in (option, value)]

python stateless_accounts () {
    known = stateless_options(d, ('--ledger', 'STATELESS_LEDGER'), ('--previous', 'STATELESS_PREVIOUS'),
                              ('--pins', 'STATELESS_PINS'))
    findings = stateless_options(d, ('--severity', 'STATELESS_FINDINGS'))
    rules = (d.getVar('STATELESS_RULES') or '').split()
    stateless_run(d, 'seed', '--save-names', d.getVar('STATELESS_NAMES') + '/etc',
                  *stateless_options(d, ('--keep', 'STATELESS_KEEP')), *known, *findings)
    if rules:
        stateless_run(d, 'stateless', '--check-empty', d.getVar('STATELESS_CHECK_EMPTY'), '--rules', *rules)
    stateless_run(d, 'wire', *(d.getVar('STATELESS_WIRE') or '').split())
    stateless_run(d, 'check', *known, *findings, *(['--rules', *rules] if rules else []))
}
# BitBake finds no variables whose names are passed on, and without them a changed setting would rebuild nothing.
stateless_accounts[vardeps] += "STATELESS_KEEP STATELESS_LEDGER STATELESS_PREVIOUS STATELESS_PINS STATELESS_FINDINGS \
    USERADD_UID_TABLES USERADD_GID_TABLES"
