"""An evaluation in its run folder: begun, stopped by anything, gone on with, finished once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import yaml

from gelu_patch.errors import Interrupted, NotComparable, OutputExists
from gelu_patch.reporting.storage.files import make_directory, write_text
from gelu_patch.reporting.storage.lock import run_lock
from gelu_patch.reporting.storage.run_folder import CONFIG, EVALUATION, PARTIAL, PREDICTIONS, SHARDS, RunFolder
from gelu_patch.runs.diary import Diary
from gelu_patch.runs.identity import differences, key_of
from gelu_patch.runs.progress import Progress
from gelu_patch.runs.shards import ShardStore
from gelu_patch.runs.world import World
from gelu_patch.tasks.answers import AnswerSheet
from gelu_patch.tasks.evaluate import Evaluation, Prepared


class Resumable:
    """One evaluation and what is on disk of it; ``identity`` says which one, ``settings`` what was asked for.

    ``in_place`` evaluations write into the folder of the training run whose model they evaluate.
    """

    def __init__(
        self,
        folder: RunFolder,
        identity: Mapping[str, Any],
        settings: Mapping[str, Any],
        world: World,
        *,
        in_place: bool,
        seconds_between_shards: float,
    ) -> None:
        self.folder, self.identity, self.settings, self.world = folder, identity, settings, world
        self.in_place = in_place
        self.key = key_of(identity)
        self.store = ShardStore(folder.path / SHARDS, self.key, seconds_between=seconds_between_shards)
        self.config = folder.path / (EVALUATION if in_place else CONFIG)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock of the folder, in the name of all processes. Raises OutputExists when it is taken."""
        if len(set(self.world.all_say(self.key))) > 1:
            raise NotComparable(
                "the processes do not run the same evaluation",
                why="their models, plans, data or settings differ",
                next_step="start all of them by one command, on machines with the same files and versions",
            )
        with ExitStack() as stack:

            def lock() -> None:
                make_directory(self.folder.path)
                stack.enter_context(run_lock(self.folder.path))

            self.world.first_only(lock)
            yield

    def begin(self, *, overwrite: bool) -> bool:
        """Take the folder, and return whether this very evaluation is finished in it.

        Raises OutputExists, with the names of what differs, when the folder holds another one and not ``overwrite``.
        """
        return self.world.first_only(lambda: self._begin(overwrite))

    def _begin(self, overwrite: bool) -> bool:
        before = None if overwrite else self._identity_on_disk()
        same = before is not None and key_of(before) == self.key
        if same and self.folder.has_report and (self.folder.path / PREDICTIONS).is_file():
            self.end()
            return True
        if not same:
            self._take(before, overwrite)
        Diary(self.folder.path).write(f"evaluation {self.key[:12]} " + ("goes on" if same else "begins"))
        return False

    def _take(self, before: Mapping[str, Any] | None, overwrite: bool) -> None:
        if self.in_place:
            self.end()
        else:
            unfinished = any(self.store.folder.glob("*.parquet"))
            if before is not None and (self.folder.has_report or unfinished):
                raise OutputExists(
                    f"{self.folder.path} holds another evaluation",
                    why="; ".join(differences(before, self.identity)),
                    next_step="choose another --output_dir, or add --overwrite_output_dir to replace it",
                )
            RunFolder.create(self.folder.path, overwrite=overwrite)
        content = {**self.settings, "identity": self.identity}
        # Through JSON, because YAML would keep types that it cannot read back safely.
        write_text(self.config, yaml.safe_dump(json.loads(json.dumps(content, default=str)), sort_keys=False))

    def _identity_on_disk(self) -> Mapping[str, Any] | None:
        try:
            found = yaml.safe_load(self.config.read_text(encoding="utf-8"))["identity"]
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
            return None
        return found if isinstance(found, Mapping) else None

    def answer(self, prepared: Prepared, progress: Progress, title: str) -> AnswerSheet:
        """Run the batches that are missing, this process its share of them; return all answers.

        With several processes only the first has all of them at the end. Raises Interrupted on Ctrl-C: what was
        answered is kept, and the examples that are complete are in ``predictions_partial.parquet``.
        """
        sheet, done = self._stored(prepared)
        self.world.wait()  # nobody writes before everybody has read
        missing = [number for number in range(len(prepared.layout)) if number not in done]
        kept = sheet.done
        try:
            with progress.bar(title) as update:
                for number, items, answers in prepared.run(missing[self.world.rank :: self.world.count]):
                    sheet.put(items, answers)
                    self.store.add(number, items, answers)
                    update(sheet.done, sheet.n, f"{kept} from before" if kept else "")
            self.store.flush()
        except KeyboardInterrupt as error:
            raise self.interrupted(prepared) from error
        self.world.wait()
        return self._stored(prepared)[0] if self.world.count > 1 and self.world.is_first else sheet

    def _stored(self, prepared: Prepared) -> tuple[AnswerSheet, set[int]]:
        sheet, done, layout = AnswerSheet(len(prepared.encoded)), set[int](), prepared.layout
        for number, items, answers in self.store.batches():
            if number < len(layout) and items == layout[number] and number not in done:
                sheet.put(items, answers)
                done.add(number)
        return sheet, done

    def interrupted(self, prepared: Prepared) -> Interrupted:
        """Keep what there is, and return the error that says so."""
        self.store.flush()
        sheet, _ = self._stored(prepared)
        if self.world.is_first:
            self._write_partial(prepared, sheet)
            Diary(self.folder.path).write(f"stopped after {sheet.done} of {sheet.n} items")
        return Interrupted(
            f"the evaluation in {self.folder.path} was stopped after {sheet.done} of {sheet.n} items",
            why=f"they are kept in {SHARDS}/, and the examples that are complete in {PARTIAL}",
            next_step="run the same command again: it goes on from there",
        )

    def _write_partial(self, prepared: Prepared, sheet: AnswerSheet) -> None:
        owners = np.asarray(prepared.encoded.owners)
        missing = set(owners[~sheet.answered].tolist())
        examples = [number for number in range(len(prepared.encoded.ids)) if number not in missing]
        if examples:
            some = prepared.encoded.some(examples)
            answers = sheet.of(np.flatnonzero(np.isin(owners, examples)))
            found = prepared.task.predictions(some, answers, seed=prepared.protocol.seed)
            found.save(self.folder.path / PARTIAL)

    def finish(self, evaluation: Evaluation) -> None:
        """Write the results, the report last, and remove the shards."""
        evaluation.write(self.folder)
        Diary(self.folder.path).write(f"finished: {len(evaluation.predictions)} predictions")
        self.end()

    def end(self) -> None:
        """Remove what only an unfinished evaluation needs."""
        self.store.remove()
        (self.folder.path / PARTIAL).unlink(missing_ok=True)
