"""The families of trainers, by the form of their command lines. One table, read by `proposal`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """Trainers with the same form of command line."""

    name: str
    #: Its description, a noun.
    title: str
    #: Calls in a script that reveal it; a dot before a name means any object.
    signs: tuple[str, ...]
    #: TRAIN_LAUNCHER for a row with several GPUs.
    launcher: str
    #: The place of results, for people.
    output: str
    #: The prefix of an argument's name.
    prefix: str = "--"
    #: Words between the script and its arguments.
    command: str = ""
    #: Arguments that every trainer of the family has; '' if the script names its own.
    out: str = ""
    seed: str = ""
    resume: str = ""
    #: Names for those two if no script is read.
    usual_out: str = "output_dir"
    usual_seed: str = "seed"
    #: The argument for a row's config, if there are configs and the script has no option for it.
    config: str = ""
    #: File name endings of configs.
    configs: tuple[str, ...] = (".yaml", ".yml", ".json", ".toml", ".py")
    #: Arguments that are added if the script has an identifier of that name.
    switches: tuple[str, ...] = ()
    #: Whether each of them trains on several GPUs.
    is_distributed: bool = False
    #: An argument to vary, with its default; '' to search the script's own.
    varied: tuple[str, float] | None = None
    #: CHECKPOINT_PATTERNS besides the default ones.
    checkpoints: str = ""
    #: Whether those patterns also match the trained model.
    has_model_in_checkpoints: bool = False
    #: Whether the launcher is needed for one process, too.
    is_always_launched: bool = False


FAMILIES: tuple[Family, ...] = (
    Family(
        "nanogpt",
        "nanoGPT's configurator: a Python file, then arguments that set module variables",
        signs=("exec(configurator)",),
        launcher="torchrun",
        output="`--out_dir`: `ckpt.pt`, and what the script writes beside it",
        out="out_dir",
        config='"$CONFIG"',
        configs=(".py",),
        usual_seed="",
    ),
    Family(
        "hydra",
        "Hydra",
        signs=("hydra.main",),
        launcher="python",
        output="`hydra.run.dir`: Hydra's working directory with `.hydra/` and the log",
        prefix="",
        out="hydra.run.dir",
        configs=(),
    ),
    Family(
        "lightning",
        "LightningCLI",
        signs=("LightningCLI",),
        launcher="python",
        output="`--trainer.default_root_dir`: `lightning_logs/version_0/` with `metrics.csv` if "
        "there is a CSVLogger, and `checkpoints/`",
        command="fit",
        out="trainer.default_root_dir",
        seed="seed_everything",
        resume="ckpt_path",
        config='--config="$CONFIG"',
        varied=("trainer.max_epochs", 2),
    ),
    Family(
        "hf",
        "TrainingArguments of Hugging Face",
        signs=("HfArgumentParser", "TrlParser"),
        launcher="torchrun",
        output="`--output_dir`: `checkpoint-*/`, `trainer_state.json`, `all_results.json`",
        out="output_dir",
        seed="seed",
        resume="resume_from_checkpoint",
        varied=("learning_rate", 1e-4),
        switches=("do_train",),
        is_distributed=True,
    ),
    Family(
        "accelerate",
        "Accelerate",
        signs=("Accelerator",),
        launcher="accelerate",
        output="the folder that its own argument names, such as `--output_dir`",
        checkpoints="step_*/ epoch_*/",
        is_always_launched=True,
    ),
    Family(
        "argparse",
        "command-line options",
        signs=(
            ".add_argument",
            "click.option",
            "typer.run",
            "typer.Typer",
            "fire.Fire",
            "tyro.cli",
            "jsonargparse.CLI",
            "jsonargparse.auto_cli",
            "simple_parsing.parse",
            "draccus.wrap",
            "pyrallis.wrap",
            "flags.DEFINE_string",
            "flags.DEFINE_integer",
            "config_flags.DEFINE_config_file",
        ),
        launcher="torchrun",
        output="the folder that its own argument names: `--output_dir`, `--work-dir`, `--out`, ...",
        checkpoints="*.pt *.pth",
        has_model_in_checkpoints=True,
    ),
    Family(
        "keyvalue",
        "key=value arguments",
        signs=("OmegaConf.from_cli", "sys.argv with key=value"),
        launcher="torchrun",
        output="the folder that its own argument names, such as `out_dir=`",
        prefix="",
        config='"$CONFIG"',
        usual_out="out_dir",
    ),
)

BY_NAME = {family.name: family for family in FAMILIES}

#: Arguments that name the folder for results, the most likely first; '-' counts as '_'.
OUTPUTS = (
    "out_dir output_dir outdir outputdir work_dir workdir out output out_path output_path "
    "out_folder output_folder save_dir savedir save_folder exp_dir experiment_dir run_dir "
    "results_dir result_dir results dump_folder dump_path default_root_dir root_dir "
    "checkpoint_dir ckpt_dir checkpoints_dir save_path model_dir log_dir logdir log_folder "
    "save save_model"
).split()
SEEDS = "seed random_seed manual_seed manualseed rng_seed global_seed seed_everything".split()
RATES = "learning_rate lr base_lr max_lr blr optimizer.lr optim.lr model.lr".split()
CONFIGS = "config cfg config_file config_path conf cfg_file cfg_path config_name yaml".split()
RESUMES = (
    "resume_from_checkpoint resume_from resume ckpt_path resume_path resume_checkpoint".split()
)
