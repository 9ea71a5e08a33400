"""Tables of bad configs and CSVs, each with the one problem that it has."""

from __future__ import annotations

from dataclasses import dataclass

ENV = """\
REPO_URL=https://example.org/lab/train.git
OPS_DEFAULT_HOST=gpu
OPS_REMOTE_REPO=/mnt/repo
OPS_REMOTE_OUTPUTS_DIR=/mnt/outputs
SWEEP_CSV=sweep.csv
"""
CSV = "run_id,config,seed,overrides,notes\nfirst,conf/a.py,1,,\n"
WIDE = "run_id,config,seed,overrides,notes,timeout_secs,gpus,retries,expect\n"


@dataclass(frozen=True)
class Bad:
    """A file and the one problem that it has."""

    name: str
    raw: bytes
    line: int | None
    key: str
    reason: str
    remedy: str


def env(name: str, text: str | bytes, key: str, reason: str, remedy: str) -> Bad:
    """`text` is line 6 of an otherwise right config."""
    raw = text.encode() if isinstance(text, str) else text
    return Bad(name, ENV.encode() + raw, 6, key, reason, remedy)


def value(text: str, reason: str, remedy: str, name: str = "") -> Bad:
    """A wrong `KEY=VALUE`; a key of the right part is replaced there."""
    key = text.partition("=")[0]
    lines = ENV.splitlines()
    at = next((n for n, line in enumerate(lines) if line.startswith(f"{key}=")), len(lines))
    lines[at : at + 1] = [text]
    raw = "\n".join(lines).encode()
    return Bad(f"{name or text}", raw, at + 1, key, reason, remedy)


def sheet(name: str, text: str | bytes, key: str, reason: str, remedy: str, line: int = 3) -> Bad:
    """`text` comes behind a header and a right row."""
    raw = text.encode() if isinstance(text, str) else text
    return Bad(name, CSV.encode() + raw, line, key, reason, remedy)


CONFIGS = [
    Bad("UTF-16", ENV.encode("utf-16"), 1, "", "the file is UTF-16", "Save it as UTF-8"),
    Bad("more than 1 MiB", b"#" * 2**20 + b"\n", None, "", "bytes are not a config", "KEY=VALUE"),
    env("byte that is no UTF-8", b"WANDB_GROUP=caf\xe9", "", "byte 16 of the line (0xe9)", "UTF-8"),
    env("NUL", b"WANDB_GROUP=a\0b", "", "a NUL byte", "plain text"),
    env("no equals sign", "RUN_RETRIES 3", "", "no '='", "Write KEY=VALUE"),
    env("no key", "=3", "", "there is no key before '='", "Write KEY=VALUE"),
    env("lower case", "run_retries=3", "run_retries", "not a key", "Did you mean RUN_RETRIES"),
    env("dash", "RUN-RETRIES=3", "RUN-RETRIES", "not a key", "Did you mean RUN_RETRIES"),
    env("two words", "set RUN=3", "", "not a key", "Write KEY=VALUE"),
    env("look-alike", "RUN_RETRIE\u0405=3", "RUN_RETRIE\\u0405", "not a key", "RUN_RETRIES"),
    env("unknown key", "RUN_RETRY=3", "RUN_RETRY", "not a config key", "Did you mean RUN_RETR"),
    env("far from any key", "QX=3", "QX", "not a config key", "docs/configuration.md"),
    env(
        "duplicate", "REPO_URL=.", "REPO_URL", "already set on line 1", "Keep one of lines 1 and 6"
    ),
    env("built-in", "WF_MEMBER=x", "WF_MEMBER", "built in", "${WF_MEMBER}"),
    value("WF_POD_ROOT=wf", "not an absolute path", "Begin it with '/'"),
    env("secret", "HF_TOKEN=hf_x", "HF_TOKEN", "looks like a secret", "WF_SECRET_ENV"),
    env("secret, lower case", "wandb_api_key=x", "", "a secret's name", "WF_SECRET_ENV"),
    env("secret without value", "MY_PASSWORD=", "MY_PASSWORD", "a secret", "WF_SECRET_ENV"),
    value("WANDB_GROUP='open", "the quote ' that opens", "Close it with '"),
    value('WANDB_GROUP="open', 'the quote " that opens', 'Close it with "'),
    value('WANDB_GROUP="a"b', "there is text after the closing quote", "one pair of quotes"),
    value("WANDB_GROUP='a'#b", "there is text after the closing quote", "' #' before a comment"),
    value("WANDB_GROUP=a'b'", "a quote inside an unquoted value", "quotes round the whole value"),
    value("WANDB_GROUP=$(id)", "a command substitution", "Write the value out"),
    value("WANDB_GROUP='`id`'", "a command substitution", "Write the value out"),
    value("WANDB_GROUP=${NO_SUCH}", "${NO_SUCH} is not a config key", "Write the value out"),
    value("WANDB_GROUP=${RUN_RETRIS}", "${RUN_RETRIS} is not", "Did you mean RUN_RETRIES"),
    value("WANDB_GROUP=${REPO_URL", "'${' is not closed", "Write ${KEY}"),
    value("WANDB_GROUP=${REPO_URL:-x}", "${REPO_URL:-x} is not a config key", "Write the value"),
    value("WANDB_GROUP=$HOME", "'$HOME' is not expanded", "Write the value out"),
    value("WANDB_GROUP=$REPO_URL", "'$REPO_URL' is not expanded", "Write ${REPO_URL}"),
    value("WANDB_GROUP=${WANDB_GROUP}", "WANDB_GROUP -> WANDB_GROUP", "Write one of them out"),
    value("WANDB_GROUP=${CHECKOUT_POST_CMD}", "a shell command on the pod", "plain values"),
    value("WANDB_GROUP=a\u00a0b", "an invisible character", "plain blanks"),
    value("WANDB_GROUP=a\u202eb", "an invisible character", "Type the value again"),
    value("WANDB_GROUP=a\rb", "an invisible character", "Type the value again"),
    value("WANDB_GROUP=\u201ca\u201d", "LEFT DOUBLE QUOTATION MARK", "plain quotes"),
    value("WANDB_GROUP=m\u0443", "CYRILLIC SMALL LETTER U", "Type the value again"),
    value("TRAIN_COMMAND_TEMPLATE=python t.py \u2013lr 3", "EN DASH", "plain quotes, hyphens"),
    value("CHECKOUT_INSTALL_CMD=pip install \u2018x\u2019", "LEFT SINGLE QUOT", "plain quotes"),
    value("METRICS_LOG_PATTERN='loss=(?P<loss'", "not a regular expression", "re.compile"),
    value("METRICS_LOG_PATTERN='loss (.*)'", "without a named group", "(?P<loss>"),
    value("METRICS_LOG_PATTERN='(?P<a>(x+)+)y'", "repeat 2, x+", "an alternative for each"),
    value("WANDB_GROUP=${METRICS_LOG_PATTERN}", "a regular expression", "plain values"),
    value("WANDB_GROUP=http://me:pw@host", "a URL with a name or password", "WF_SECRET_ENV"),
    value("REPO_URL=", "required", "Set it: the training repository"),
    value("OPS_DEFAULT_HOST=gpu:0", "not a port", "user@host:port"),
    value("OPS_DEFAULT_HOST=gpu:65536", "not a port", "your provider shows"),
    value("OPS_DEFAULT_HOST=gpu:22.0", "not a port", "your provider shows"),
    value("OPS_DEFAULT_HOST=gpu:\uff12\uff12", "FULLWIDTH DIGIT TWO", "plain quotes"),
    value("OPS_DEFAULT_HOST=-oProxyCommand=id", "takes for an option", "Write the host's name"),
    value("OPS_DEFAULT_HOST=a a", "a is named twice", "Name each pod once"),
    value("OPS_DEFAULT_HOST=a -b", "begins with", "the host's name"),
    value("OPS_DEFAULT_HOST=::1", "an IPv6 address needs brackets", "[2001:db8::1]:22"),
    value("OPS_DEFAULT_HOST=[gpu]:22", "no IPv6 address", "[2001:db8::1]:22"),
    value("OPS_DEFAULT_HOST=root;id@gpu", "not a user name", "user@host:port"),
    value("LIUM_TARGET=3", "an index shifts", "`lium ps`"),
    value("LIUM_EXECUTOR_ID=12", "an index shifts", "`lium ls`"),
    value("OPS_REMOTE_REPO=repo", "not an absolute path", "${WF_POD_ROOT}/"),
    value("OPS_REMOTE_REPO=~/repo", "not an absolute path", "Begin it with '/'"),
    value("OPS_REMOTE_REPO=/mnt/../etc", "'..'", "without '..'"),
    value("OPS_REMOTE_OUTPUTS_DIR=/", "the root of the file system", "below it"),
    value("OPS_REMOTE_OUTPUTS_DIR=//.", "the root of the file system", "below it"),
    value("OPS_REMOTE_OUTPUTS_DIR=/mnt/repo/", "the same directory as OPS_REMOTE_REPO", "own"),
    value("OPS_REMOTE_OUTPUTS_DIR=/mnt/repo/out", "within OPS_REMOTE_REPO", "of their own"),
    value(
        "OPS_REMOTE_OUTPUTS_DIR=/etc", "of the operating system", "a place of this project's own"
    ),
    value("OPS_REMOTE_OUTPUTS_DIR=/etc/wf/", "of the operating system", "below a volume"),
    value("OPS_REMOTE_OUTPUTS_DIR=//usr/lib/x", "of the operating system", "below a volume"),
    value("OPS_REMOTE_OUTPUTS_DIR=/root", "a folder that everything shares", "below a volume"),
    value("OPS_REMOTE_OUTPUTS_DIR=/home/ada/.", "a user's home itself", "below a volume"),
    value("OPS_REMOTE_REPO=/tmp", "a folder that everything shares", "below a volume"),
    value("REMOTE_ENV_PATH=/etc/environment", "of the operating system", "below a volume"),
    value("WF_STATE_FILE=/dev/sda", "of the operating system", "below a volume"),
    value("HF_HOME=/usr/bin", "of the operating system", "below a volume"),
    value("RUN_OUT_LOCAL_ROOT=/dev/shm/", "a folder that everything shares", "below a volume"),
    value("TRAIN_WORKDIR_REL=../x", "not a path below the repository", "without '..'"),
    value("TRAIN_ENTRYPOINT=/train.py", "not a path below TRAIN_WORKDIR_REL", "relative path"),
    value("RUN_TIMEOUT_SECS=-1", "not a whole number", "whole seconds"),
    value("RUN_TIMEOUT_SECS=1e3", "not a whole number", "plain digits"),
    value("RUN_TIMEOUT_SECS=5 minutes", "not a whole number", "plain digits"),
    value("RUN_TIMEOUT_SECS=\u0661\u0662", "ARABIC-INDIC DIGIT ONE", "digits and letters"),
    value("RUN_TIMEOUT_SECS=99999999999", "not a whole number", "plain digits"),
    value("SYNC_INTERVAL_SECS=0", "not a whole number >= 1", "at least 1"),
    value("NPROC_PER_NODE=0", "not a whole number >= 1", "at least 1"),
    value("RUN_RETRIES=many", "not a whole number", "0 for none"),
    value("SWEEP_FORCE=yes", "neither 0 nor 1", "Write 1 for yes"),
    value("WF_DEFAULT_TEARDOWN=destroy", "not one of keep, delete", "Write keep or delete"),
    value("SSH_HOST_KEY_POLICY=no", "not one of strict, accept-new", "accept-new"),
    value("RUN_RETRY_ON=nccl cosmic", "not a list of failure classes", "Choose from: oom"),
    value("EXPECT_GIT_SHA=main", "not a full commit id", "git rev-parse HEAD"),
    value("EXPECT_GIT_SHA=abc1234", "not a full commit id", "git rev-parse HEAD"),
    value("REPO_URL=ext::sh -c id", "a remote helper such as ext::", "https://host/repo.git"),
    value("REPO_URL=--upload-pack=id", "takes for an option", "https://host/repo.git"),
    value("REPO_URL=https://me:pw@host/x", "a URL with a name or password", "Leave them out"),
    value("REPO_URL=train", "not a repository's address", "git@host:repo.git"),
    value("CHECKOUT_BRANCH=--force", "takes for an option", "such as main"),
    value("CHECKOUT_BRANCH=a..b", "not a branch name", "such as main"),
    value("CHECKOUT_BRANCH=@{u}", "not a branch name", "such as main"),
    value("CHECKOUT_PR=#12", "not a whole number", "number alone"),
    value("REMOTE_PYTHON_BIN=-c", "neither a program's name", "Write python3"),
    value("WF_TMUX_SESSION=a:b", "not a session name", "no ':' and no '.'"),
    value("SWEEP_TMUX_SESSION=a.b", "not a session name", "no ':' and no '.'"),
    value("LIUM_TTL=5", "not a time to live", "90m, 2h or 1d"),
    value("LIUM_VOLUME=data", "not a volume", "id:<huid>"),
    value("LIUM_POD_NAME=-x", "not a pod name", "letters, digits"),
    value("LIUM_GPU=;id", "not a plain name", "letters, digits"),
    value("WF_MAX_USD_PER_HOUR=0", "not a price above 0", "empty for no limit"),
    value("WF_SECRET_ENV=HF_TOKEN=x", "not a list of environment variable names", "alone"),
    value("WF_SECRET_ENV='HF_TOKEN PATH'", "PATH steers programs", "such as HF_TOKEN"),
    value("WF_SECRET_ENV=LD_PRELOAD", "LD_PRELOAD steers programs", "such as HF_TOKEN"),
    value("WF_SECRET_ENV=PYTHONPATH", "PYTHONPATH steers programs", "such as HF_TOKEN"),
    value("WF_SECRET_ENV=GIT_DIR", "GIT_DIR steers programs", "such as HF_TOKEN"),
    value("WF_SECRET_ENV=SSH_AUTH_SOCK", "SSH_AUTH_SOCK steers", "such as HF_TOKEN"),
    value("WF_SECRET_ENV=RUN_ID", "set by the run itself", "such as HF_TOKEN"),
    value("WF_EXPECT=loss is low", "is not a condition on a metric", "val_loss<3.3"),
    value("SSH_HOST_FINGERPRINT=MD5:aa", "not a SHA-256 fingerprint", "ssh-keygen -lf"),
    value("SWEEP_START_AT=../x", "not a run id", "letters, digits"),
    value("CUDA_VISIBLE_DEVICES=0, 1", "not a list of GPUs", "0,1"),
    value("CUDA_VISIBLE_DEVICES=0,0", "names GPU 0 twice", "each GPU once"),
    value("CUDA_VISIBLE_DEVICES=1,01", "names GPU 1 twice", "each GPU once"),
    value("CUDA_VISIBLE_DEVICES=GPU-a,gpu-A", "names GPU gpu-a twice", "each GPU once"),
    value("APT_PACKAGES=-oX=1", "not a list of Debian package names", "git tmux rsync"),
    value(
        'WF_SUBAGENT_VALIDATOR_CMD="python \'x"', "not a command line", "close each quote", "argv"
    ),
    value("CHECKOUT_POST_CMD=HF_TOKEN=x run", "a secret is written", "WF_SECRET_ENV"),
    Bad(
        "branch and PR",
        (ENV + "CHECKOUT_BRANCH=main\nCHECKOUT_PR=1\n").encode(),
        7,
        "CHECKOUT_PR",
        "CHECKOUT_BRANCH is set too, on line 6",
        "Empty one of them",
    ),
    Bad(
        "mirror onto itself",
        (ENV + "RUN_OUT_MODE=local_sync\nRUN_OUT_LOCAL_ROOT=/mnt/outputs\n").encode(),
        7,
        "RUN_OUT_LOCAL_ROOT",
        "the same directory as OPS_REMOTE_OUTPUTS_DIR",
        "RUN_OUT_MODE=durable",
    ),
    Bad(
        "mirror within the outputs",
        (ENV + "RUN_OUT_MODE=local_sync\nRUN_OUT_LOCAL_ROOT=/mnt/outputs/fast\n").encode(),
        7,
        "RUN_OUT_LOCAL_ROOT",
        "or the reverse",
        "RUN_OUT_MODE=durable",
    ),
    Bad(
        "state in the place of the config",
        (ENV + "REMOTE_ENV_PATH=/mnt/s.json\nWF_STATE_FILE=/mnt/s.json\n").encode(),
        6,
        "REMOTE_ENV_PATH",
        "the same file as WF_STATE_FILE",
        "of its own",
    ),
    Bad(
        "no target",
        ENV.replace("OPS_DEFAULT_HOST=gpu\n", "").encode(),
        None,
        "OPS_DEFAULT_HOST",
        "no target is set",
        "OPS_DEFAULT_HOST=local",
    ),
]

SHEETS = [
    Bad("empty", b"", 1, "", "no header", "Begin with run_id,config"),
    Bad("header only", CSV.splitlines()[0].encode(), None, "", "no row", "at least one row"),
    Bad("no header", b"a,c.py,1,,\n", 1, "", "not a header", "Begin with run_id,config"),
    Bad("header in open quotes", b'"run_id,config\n', 1, "", "are not balanced", "Close each"),
    Bad("UTF-16", CSV.encode("utf-16"), 1, "", "the file is UTF-16", "UTF-8"),
    Bad("too large", b"x" * (32 * 2**20 + 1), None, "", "not a sweep", "Split"),
    Bad("semicolons", CSV.replace(",", ";").encode(), 1, "", "separated by ';'", "commas"),
    Bad("bars", b"run_id|config|seed\n", 1, "", "separated by '|'", "commas"),
    Bad("tabs", CSV.replace(",", "\t").encode(), 1, "", "separated by tabs", "commas"),
    Bad(
        "header twice",
        CSV.replace("notes", "notes,config").encode(),
        1,
        "config",
        "twice",
        "Keep one",
    ),
    Bad("no column", b"run_id,config,seed,notes\n", 1, "overrides", "is missing", "Begin with"),
    Bad(
        "unknown column",
        (WIDE.replace("retries", "retrys") + "a,c.py,1,,,,,,\n").encode(),
        1,
        "retrys",
        "not a known column",
        "Did you mean retries",
    ),
    Bad(
        "column of a hyperparameter",
        b"run_id,seed,learning_rate,overrides,notes\na,1,0.1,,\n",
        1,
        "learning_rate",
        "not a known column",
        "such as --lr=0.1, belong in the column overrides",
    ),
    Bad(
        "no column, and no config",
        b"run_id,seed,notes\n",
        1,
        "overrides",
        "is missing",
        "Begin with run_id,seed,overrides,notes.",
    ),
    sheet("latin-1", b"b,c.py,1,,caf\xe9\n", "", "byte 14 of the line (0xe9)", "UTF-8"),
    sheet("NUL", b"b,c.py,1,,a\0\n", "", "a NUL byte", "plain CSV"),
    sheet("short row", "b,c.py,1,\n", "", "4 cells, but the header has 5", "every column"),
    sheet("long row", "b,c.py,1,a=1,b=2,\n", "", "6 cells, but the header has 5", "quote a cell"),
    sheet("open quote", 'b,c.py,1,"x=1,\n', "", "are not balanced", "Close each quoted cell"),
    sheet(
        "text behind a quote", 'b,c.py,1,"x"1,\n', "", "are not balanced", "write a quote inside"
    ),
    sheet("empty line", "\nb,c.py,1,,\n", "", "an empty line between rows", "Delete it"),
    sheet("huge cell", f"b,c.py,1,{'x' * 70_000},\n", "overrides", "70000 characters", "at most"),
    sheet("monstrous cell", f"b,c.py,1,{'x' * 140_000},\n", "", "a cell is too long", "65536"),
    sheet("duplicate", "first,c.py,1,,\n", "run_id", "already used on line 2", "its own"),
    sheet("duplicate by case", "FIRST,c.py,1,,\n", "run_id", "already used on line 2", "its own"),
    sheet("empty id", ",c.py,1,,\n", "run_id", "a row needs an id", "its own"),
    sheet("blank before id", " b,c.py,1,,\n", "run_id", "not a run id", "letters, digits"),
    sheet("newline after id", '"b\n",c.py,1,,\n', "run_id", "not a run id", "letters, digits"),
    sheet("id that climbs", "../evil,c.py,1,,\n", "run_id", "not a run id", "letters, digits"),
    sheet("id like an option", "-rf,c.py,1,,\n", "run_id", "not a run id", "letters, digits"),
    sheet("id with a shell in it", "$(id),c.py,1,,\n", "run_id", "not a run id", "letters"),
    sheet("id too long", f"{'x' * 129},c.py,1,,\n", "run_id", "not a run id", "at most 128"),
    sheet("reserved id", "summary,c.py,1,,\n", "run_id", "a reserved name", "another id"),
    sheet("device of Windows", "nul,c.py,1,,\n", "run_id", "a reserved name", "another id"),
    sheet("device, capitals", "LPT1,c.py,1,,\n", "run_id", "a reserved name", "another id"),
    sheet("device, extension", "aux.txt,c.py,1,,\n", "run_id", "a reserved name", "another id"),
    sheet("absolute config", "b,/etc/c.py,1,,\n", "config", "not a path", "relative path"),
    sheet("config that climbs", "b,a/../../c.py,1,,\n", "config", "not a path", "without '..'"),
    sheet("config like an option", "b,--lr,1,,\n", "config", "not a path", "relative path"),
    sheet("seed in words", "b,c.py,one,,\n", "seed", "not an integer", "plain digits"),
    sheet("seed from a spreadsheet", "b,c.py,1E+05,,\n", "seed", "not an integer", "plain digits"),
    sheet("seed with zeros", "b,c.py,00123,,\n", "seed", "not an integer", "plain digits"),
    sheet("seed in other digits", "b,c.py,\u0661,,\n", "seed", "not an integer", "plain digits"),
    sheet("empty seed", "b,c.py,,,\n", "seed", "not an integer", "plain digits"),
    sheet("open shell quote", "b,c.py,1,x='a,\n", "overrides", "are not balanced", "two words"),
    sheet("two lines", 'b,c.py,1,"a=1\nb=2",\n', "overrides", "control character", "one line"),
    sheet("zero width", "b,c.py,1,a=\u200b1,\n", "overrides", "an invisible", "plain blanks"),
    sheet("bell in notes", "b,c.py,1,,\a\n", "notes", "a control character", "Take it out"),
    sheet("password", "b,c.py,1,u=ftp://a:b@c,\n", "overrides", "password", "WF_SECRET_ENV"),
    Bad("time", (WIDE + "a,c.py,1,,,1h,,,\n").encode(), 2, "timeout_secs", "whole", "seconds"),
    Bad("no GPU", (WIDE + "a,c.py,1,,,,0,,\n").encode(), 2, "gpus", ">= 1", "number of GPUs"),
    Bad("retries", (WIDE + "a,c.py,1,,,,,-1,\n").encode(), 2, "retries", "whole", "retries"),
    Bad("expect", (WIDE + "a,c.py,1,,,,,,low\n").encode(), 2, "expect", "condition", "val_loss"),
]
