"""Writes the proposal for one script: its command, further keys, and a first sweep."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pytest_wf.project.trainers import configs, data_sets
from pytest_wf.project.trainers.candidates import Candidate
from pytest_wf.project.trainers.data_sets import DataSet
from pytest_wf.project.trainers.families import CONFIGS, OUTPUTS, RATES, RESUMES, SEEDS, Family
from pytest_wf.project.trainers.options import Option
from pytest_wf.project.trainers.proposal import Proposal, listed, sweep_csv
from pytest_wf.project.trainers.repository import Repository, quoted
from pytest_wf.project.trainers.script import Script

#: A value that the user has to write.
CHANGE_ME = "CHANGE_ME"
_TORCH = frozenset("torch lightning pytorch_lightning transformers accelerate trl".split())
#: Packages and calls by which a script finds its own package.
_FINDS_ITSELF = frozenset("rootutils pyrootutils autoroot sys.path.append sys.path.insert".split())
#: The most configs whose data is looked for.
_MAX_READ = 100
_MODEL_FILES = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".h5", ".safetensors")


@dataclass(frozen=True)
class _Word:
    """A part of the command, and its text for people."""

    text: str
    shown: str = ""


class Writer:
    """Writes the proposal for one script."""

    def __init__(
        self,
        repository: Repository,
        chosen: Candidate,
        asked: Family | None,
        others: Sequence[Candidate],
        has_gpu: bool,
    ) -> None:
        self._repository = repository
        self._chosen = chosen
        self._family = asked or chosen.family
        self._asked = asked
        self._others = others
        self._has_gpu = has_gpu
        self._hydra = configs.of_hydra(repository, chosen.script)
        self._loaded = configs.of_omegaconf(repository, chosen.script)
        self._options = self._hydra.options or chosen.options or self._loaded
        self._folder, self._target = _start(repository, chosen.script)

    def proposal(self) -> Proposal:
        """The command, further keys, and the sweep."""
        chosen, family = self._chosen, self._family
        output, seed = self._output(), self._seed()
        config, files = self._config()
        used = files[0] if files and not self._hydra.experiments else ""
        data = self._data(used)
        parts = [config, output.text, *self._further(output), seed.text, *self._switches()]
        parts += [*self._required(f" {' '.join(parts)}"), self._resume()]
        before = (o for o in self._options if o.is_common and not o.is_positional)
        common = tuple(self._written(option, "") for option in before)
        first = [word for word in parts if common and word.startswith(common)]
        rest = [word for word in parts if word not in first]
        command = family.command or chosen.command
        parts = ["launch", self._target, *first, command, *rest, '"$@"']
        template = " ".join(filter(None, parts))
        if self._is_the_harness_own(files):
            template = ""
        return Proposal(
            family.name,
            self._reason(output, seed, used, data),
            tuple(self._notes(output, seed, files, used, template)),
            posixpath.normpath(posixpath.join(self._repository.prefix, self._folder)),
            self._target,
            template,
            self._launcher(),
            self._repository.installation(self._folder),
            family.checkpoints,
            self._has_gpu and bool(chosen.imports & _TORCH),
            self._sweep(used, seed, has_config=bool(files)),
            data.folder if data and data.is_present else "",
        )

    def _option(self, names: Iterable[str], *, may_be_nested: bool = True) -> Option | None:
        """The first of the script's options with one of `names`, the most likely first.

        A nested one has a name such as `optim.lr`.
        """
        usable = [o for o in self._options if not o.is_flag and not o.is_positional]
        by_name = {_plain(o.name): o for o in reversed(usable)}
        tails = {name.rpartition(".")[2]: option for name, option in by_name.items()}
        known = {**tails, **by_name} if may_be_nested else by_name
        return next((known[name] for name in names if name in known), None)

    def _written(self, option: Option, value: str) -> str:
        """An argument of the script in the form of its family."""
        if option.is_positional:
            return value
        dashes = option.dashes if self._family.prefix else ""
        return f"{dashes}{option.name}={value}"

    def _named(self, name: str, value: str) -> str:
        return f"{self._family.prefix}{name}={value}"

    def _output(self) -> _Word:
        family = self._family
        if family.out:
            return _Word(self._named(family.out, '"$TRAIN_OUT_DIR"'), family.prefix + family.out)
        option = self._option(OUTPUTS)
        if option is None:
            positional = (o.name for o in self._options if o.is_positional and o.name in OUTPUTS)
            return _Word("", next(positional, ""))
        default = str(option.default or "")
        is_file = re.fullmatch(r"[\w./-]+", default) and default.endswith(_MODEL_FILES)
        place = f"/{posixpath.basename(default)}" if is_file else ""
        return _Word(
            self._written(option, f'"$TRAIN_OUT_DIR{place}"'), self._written(option, "")[:-1]
        )

    def _further(self, output: _Word) -> Iterator[str]:
        """Other folders that the script writes to: those with a relative default."""
        if self._family.out:
            return
        for option in self._options:
            name, default = _plain(option.name), option.default
            is_folder = name in OUTPUTS and name.endswith("dir") and name != "model_dir"
            if not is_folder or self._written(option, "")[:-1] == output.shown:
                continue
            if isinstance(default, str) and re.fullmatch(r"\w[\w./-]*", default, re.ASCII):
                place = quoted(posixpath.basename(default.rstrip("/")))
                yield self._written(option, f'"$TRAIN_OUT_DIR"/{place}')

    def _seed(self) -> _Word:
        name = self._family.seed
        if name:
            return _Word(self._named(name, '"$SEED"'), self._family.prefix + name)
        option = self._option(SEEDS)
        if option is None:
            return _Word("")
        return _Word(self._written(option, '"$SEED"'), self._written(option, "")[:-1])

    def _config(self) -> tuple[str, tuple[str, ...]]:
        """The argument for a row's config, and the existing configs."""
        family, hydra = self._family, self._hydra
        if hydra.experiments:
            return f'${{CONFIG:+{hydra.experiment}="$CONFIG"}}', hydra.experiments
        option = self._option(CONFIGS, may_be_nested=False)
        is_positional = any(o.is_positional and _plain(o.name) in CONFIGS for o in self._options)
        how = '"$CONFIG"' if is_positional else "" if self._loaded else family.config
        how = self._written(option, '"$CONFIG"') if option else how
        files = configs.found_in(self._repository, self._folder, family.configs) if how else ()
        files = (*sorted(files[:_MAX_READ], key=self._lacks_data), *files[_MAX_READ:])
        return (how, files) if files else ("", ())

    def _values(self, config: str) -> dict[str, object]:
        """The values that a row of `config` trains with: the script's defaults and the config's."""
        own = {option.name: option.default for option in self._options}
        return own | configs.values_in(self._repository, posixpath.join(self._folder, config))

    def _data(self, config: str) -> DataSet | None:
        return data_sets.named_in(self._repository, self._folder, self._values(config))

    def _lacks_data(self, config: str) -> bool:
        data = self._data(config)
        return data is not None and not data.is_present

    def _switches(self) -> Iterator[str]:
        for name in self._family.switches:
            if any(name in module.words for module in self._chosen.modules):
                yield f"--{name}"

    def _required(self, given: str) -> Iterator[str]:
        """Arguments that the script requires, except for those `given`."""
        values = {**dict.fromkeys(SEEDS, '"$SEED"'), **dict.fromkeys(OUTPUTS, '"$TRAIN_OUT_DIR"')}
        is_config_given = '"$CONFIG"' in given
        for option in self._options:
            name = _plain(option.name)
            is_given = (is_config_given and name in CONFIGS) or (
                not option.is_positional and f" {self._written(option, '')}" in given
            )
            if option.is_required and not is_given:
                yield self._written(option, values.get(name, CHANGE_ME))

    def _resume(self) -> str:
        """The argument with the checkpoint to resume from, if there is one."""
        if self._family.resume:
            argument = self._named(self._family.resume, '"$RESUME_FROM"')
        elif option := self._option(RESUMES, may_be_nested=False):
            argument = self._written(option, '"$RESUME_FROM"')
        elif flag := next((o for o in self._options if o.is_flag and o.name in RESUMES), None):
            argument = f"{flag.dashes}{flag.name}"
        else:
            return ""
        return f"${{RESUME_FROM:+{argument}}}"

    def _is_the_harness_own(self, files: Sequence[str]) -> bool:
        """Whether the script can be called by the default command, without a template."""
        names = {option.name for option in self._options}
        known = {"out_dir", "seed", "wandb_log"} <= names
        is_plain = not self._family.prefix and not self._family.out
        return is_plain and known and bool(files)

    def _launcher(self) -> str:
        family = self._family
        many = self._chosen.is_distributed or family.is_distributed
        if family.is_always_launched or (self._has_gpu and many):
            return family.launcher
        return "python"

    def _reason(self, output: _Word, seed: _Word, config: str, data: DataSet | None) -> str:
        chosen = self._chosen
        parts = [f"output {output.shown or 'not found'}", f"seed {seed.shown or 'not found'}"]
        if config:
            where = f" (its data is in {data.folder})" if data and data.is_present else ""
            parts.append(f"config {config}{where}")
        has = f"calls {chosen.sign.lstrip('.')}" if chosen.sign else "has no known parser"
        why = f"{chosen.script.path} {has}"
        if self._asked is not None and self._asked is not chosen.family:
            why = f"asked for; {why}, which is a sign of {chosen.family.name}"
        return f"{self._family.name} ({why}): {', '.join(parts)}"

    def _notes(
        self, output: _Word, seed: _Word, files: Sequence[str], used: str, template: str
    ) -> Iterator[str]:
        if CHANGE_ME in template:
            yield f"Replace each {CHANGE_ME} in TRAIN_COMMAND_TEMPLATE: the script requires it."
        if not output.shown:
            yield (
                "No argument for the folder of results was found: give it $TRAIN_OUT_DIR, as only "
                "what is there is fetched."
            )
            if not self._target.startswith("-m "):
                place = f'cd "$TRAIN_OUT_DIR" && launch "$OLDPWD"/{self._target} ...'
                yield f"For a script that writes to its working directory: {place}"
        if not seed.shown:
            yield "No argument for the seed was found: rows differ only by their overrides."
        if len(files) > 1 or self._hydra.experiments:
            yield f"For the column config: {listed(files)}."
        read = filter(None, map(self._data, files[:_MAX_READ] or ("",)))
        if empty := list(dict.fromkeys(data.folder for data in read if not data.is_present)):
            remedy = "prepare it before a row reads it (`wf docs how-to/data`)"
            yield f"No data in {listed(empty)}: {remedy}."
        if words := self._for_cpu(used):
            where = 'TRAIN_COMMAND_TEMPLATE, before "$@"' if template else "the rows' overrides"
            yield f"There is no GPU here, and the script uses one: add {words} to {where}."
        launcher = self._family.launcher
        if launcher != self._launcher() and (self._chosen.is_distributed or launcher != "torchrun"):
            yield f"On several GPUs: TRAIN_LAUNCHER={launcher}."
        environment = self._repository.environment_file(self._folder)
        if environment and not self._repository.installation(self._folder):
            yield f"{environment} is for conda: create it on the pod, and set REMOTE_PYTHON_BIN."
        others = [f"{one.script.path} ({one.family.name})" for one in self._others]
        if others:
            yield f"Other scripts, for the option --script: {listed(others)}."

    def _for_cpu(self, config: str) -> str:
        """The arguments for a machine without a GPU, if rows use one by default."""
        device, compiles = self._option(("device",)), self._option(("compile",))
        values = self._values(config)
        if self._has_gpu or device is None or not str(values[device.name]).startswith("cuda"):
            return ""
        words = [self._written(device, "cpu")]
        if compiles is not None and values[compiles.name] is True:
            words.append(self._written(compiles, "False"))
        return " ".join(words)

    def _sweep(self, config: str, seed: _Word, *, has_config: bool) -> str:
        end = "-s1" if seed.shown else ""
        rows = [{"run_id": f"baseline{end}", "seed": "1", "notes": "as it is"}]
        varied = self._varied(config)
        if varied is not None:
            argument, value = varied
            name = argument.lstrip("-").rpartition(".")[2].replace("_", "-")
            overrides = f"{argument}={value}"
            note = {"run_id": f"{name}-{value}{end}", "seed": "1", "notes": "one override"}
            rows.append({**note, "overrides": overrides})
        elif seed.shown:
            rows.append({"run_id": "baseline-s2", "seed": "2", "notes": "another seed"})
        return sweep_csv([{"config": config, **row} for row in rows], has_config=has_config)

    def _varied(self, config: str) -> tuple[str, str] | None:
        """An argument to vary, and another value than its default."""
        family = self._family
        option = self._option(RATES)
        rate = self._values(config)[option.name] if option is not None else None
        if option is not None and isinstance(rate, (int, float)):
            return self._written(option, "")[:-1], f"{rate / 2:g}"
        if family.varied is not None:
            name, value = family.varied
            return f"{family.prefix}{name}", f"{value:g}"
        return None


def _start(repository: Repository, script: Script) -> tuple[str, str]:
    """The folder that a script is started in, and its path there or `-m module`.

    It is started as a module if it imports from above its folder without extending the path.
    """
    above = repository.imported_from(script)
    if above is None or (script.imports | script.calls) & _FINDS_ITSELF:
        folder = repository.folder_of(script.path)
        return folder, quoted(posixpath.relpath(script.path, folder or "."))
    module = posixpath.relpath(script.path.removesuffix(".py"), above or ".").replace("/", ".")
    if posixpath.basename(above) == "src" and repository.installation("").endswith("-e ."):
        above = posixpath.dirname(above)
    return above, f"-m {module.removesuffix('.__main__')}"


def _plain(name: str) -> str:
    return name.replace("-", "_").lower()
