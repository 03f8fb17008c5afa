"""Decoding in steps of unchanging shape, none of which the host waits for.

The answers in flight stand in a grid of documents x places. All that a step needs lies on the device, in
buffers of that grid, and the step itself moves it on: the chosen token is the next one to be fed, the
lengths grow by one. So a step is the same work at the same addresses each time. On a GPU it is captured
once and replayed, where launching its kernels one by one would take longer than running them.

A capture costs as much as a few dozen steps. So a shape is captured when enough steps were launched in it
for a capture to have paid, shapes are few (powers of two, one bound on the lengths), and while questions
are timed one by one nothing is captured within a call, but between them (``rest``).

The host reads the tokens of a step while the next one runs, and so learns a step late that an answer has
ended. What was computed in vain then stays where it is: nobody reads it, and it is not counted. Grids of a
few shapes serve everything; a place without an open answer computes what nobody reads.

Where every step is waited for anyway, as on a CPU, ``decode`` wastes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.errors import EnvironmentProblem
from bench.measure import is_out_of_memory
from bench.models.model import ModelGone
from bench.models.qwen_vl.cascade import CascadeCache
from bench.models.qwen_vl.cuda import Graphs, Sent, send, upload
from bench.models.qwen_vl.decode import best_tokens, penalized, record, seen_tokens
from bench.models.qwen_vl.generation import Decoding
from bench.models.qwen_vl.questions import QuestionBranch
from bench.models.qwen_vl.tree import Heads, tree_shape
from bench.models.qwen_vl.varlen import Kernel, Seen, Segments, merge
from bench.text import one_line

if TYPE_CHECKING:
    import torch

GRIDS = 64
"""Shapes that are kept; beyond them all are given up, and made again when they are met. Powers of two up to
a few hundred places come to fewer."""

PAYS_AFTER = 12
"""Steps that are launched in a shape before it is captured. Not measured: launching loses some 15 ms a step
to replaying, a capture takes some 200 ms, and waiting until as much is lost costs at most twice the best."""

LEAST_PREFIX, LEAST_BRANCH = 256, 64
"""Tokens for which the kernels of a step are chosen at least; above, the next power of two. The bounds only
grow: a longer one chooses how a kernel divides its work, and does not change what it reads."""

Placed = Sequence[tuple[int, QuestionBranch]]
"""Answers, and where in a grid, or in a row of logits, they are."""


class StepShape(NamedTuple):
    """What one capture serves."""

    documents: int
    width: int
    """Places of a document."""
    longest_prefix: int
    longest_branch: int


class Grid:
    """The buffers of one shape, and the step over them."""

    def __init__(self, shape: StepShape, scratch: int, device: torch.device) -> None:
        """All places are without an answer."""
        import torch

        def count(length: int) -> torch.Tensor:
            return torch.arange(length + 1, dtype=torch.int32, device=device)

        self.shape = shape
        places = shape.documents * shape.width
        self.tokens = torch.zeros(places, dtype=torch.long, device=device)
        """(places,): what is fed next."""
        self.branches = empty_branches(places, scratch).to(device)
        """(4, places + 1) int32: position, start of the branch, tokens in it, room for tokens."""
        self.prefixes = empty_prefixes(shape.documents, scratch).to(device)
        """(2, documents + 1) int32: start and tokens of each prefix."""
        self.place_ends, self.document_ends = count(places), count(shape.documents)
        self.chosen = torch.zeros(2, places, dtype=torch.float64, device=device)
        """(2, places): the tokens of the last step, and their probabilities."""
        self.seen: torch.Tensor | None = None
        """(places, vocabulary): tokens that the repetition penalty counts; None if there is none."""
        self.step: Callable[[], None] = lambda: None
        self.launched = 0
        """Steps that were taken kernel by kernel."""
        self.captured = False


def empty_branches(places: int, scratch: int) -> torch.Tensor:
    """``Grid.branches`` without answers: no room, so that what is written goes to the scratch place."""
    import torch

    empty = torch.zeros(4, places + 1, dtype=torch.int32)
    empty[1] = scratch
    return empty


def empty_prefixes(documents: int, scratch: int) -> torch.Tensor:
    """``Grid.prefixes`` without documents: the scratch place, since a run has at least one key."""
    import torch

    empty = torch.ones(2, documents + 1, dtype=torch.int32)
    empty[0] = scratch
    return empty


class StepRow:
    """One token in every place of a grid, behind the prefixes of their documents."""

    def __init__(self, cache: CascadeCache, grid: Grid) -> None:
        import torch

        self._cache, self._shape = cache, grid.shape
        _, starts, lengths, room = grid.branches
        lengths, room = lengths[:-1], room[:-1]
        # An answer that has ended goes on until the host knows, but never beyond its own stretch.
        inside = lengths < room
        self._places = torch.where(inside, starts[:-1] + lengths, cache.scratch).long()
        used = torch.minimum(lengths + 1, room).clamp(min=1)
        self._own = Segments(grid.place_ends, starts, used, 1, grid.shape.longest_branch)
        self._shared = Segments(
            grid.document_ends,
            grid.prefixes[0],
            grid.prefixes[1, :-1],
            1,
            grid.shape.longest_prefix,
        )

    def attend(self, layer: int, heads: Heads, scale: float) -> torch.Tensor:
        """See ``tree.TreeRow``.

        To the prefix, all places of a document are one token of many heads: a prefix is read once.
        """
        queries, keys, values = (part[0].transpose(0, 1) for part in heads)
        stored = self._cache.keys[layer], self._cache.values[layer]
        stored[0].index_copy_(0, self._places, keys)
        stored[1].index_copy_(0, self._places, values)
        kernel, shape = self._cache.kernel, self._cache.shape
        own = kernel(queries, *stored, self._own, causal=False, scale=scale)
        documents, width, *_ = self._shape
        grid = queries.reshape(documents, width, shape.heads, shape.groups, shape.size)
        folded = grid.transpose(1, 2).flatten(1, 3)
        of_prefixes = kernel(folded, *stored, self._shared, causal=False, scale=scale)
        split = (documents, shape.heads, width, shape.groups)
        shared = Seen(
            of_prefixes.values.view(*split, shape.size).transpose(1, 2).reshape(own.values.shape),
            of_prefixes.logsumexp.reshape(split).transpose(1, 2).reshape(own.logsumexp.shape),
        )
        return merge(shared, own).unsqueeze(0)


class Steps:
    """A cache for flights, and the way to decode the branches in it."""

    def __init__(
        self, model: Any, kernel: Kernel, decoding: Decoding, graphs: Graphs | None
    ) -> None:
        """With ``graphs``, steps are captured; ``obstacle`` says why not where that failed."""
        self._model, self._decoding, self._graphs = model, decoding, graphs
        self.cache = CascadeCache(tree_shape(model), kernel)
        self._grids: dict[StepShape, Grid] = {}
        self.obstacle: str | None = None
        """Why steps are not captured although they should be."""
        self.refused_later: str | None = None
        """``obstacle``, where it was met after ``prove``."""
        self._proven = False
        self._longest = (LEAST_PREFIX, LEAST_BRANCH)
        """Bounds on a prefix and on a branch, of all that have been decoded."""
        self.captures_within_calls = True
        """Whether a call may be held up by a capture; not while questions are timed one by one."""

    def begin(self, columns: Sequence[int], most: int | None = None) -> None:
        """Make room for a flight: ``columns`` tokens for each document; see ``CascadeCache.begin``."""
        if self.cache.begin(columns, most):
            self._forget()

    def prove(self) -> None:
        """Take the smallest step, so that ``obstacle`` tells early whether steps can be captured."""
        import torch

        with torch.inference_mode():
            self.begin([1])
            self._captured(self._grid(StepShape(1, 1, *self._longest))).step()
        self._proven = True

    def rest(self) -> None:
        """Capture what questions that are timed one by one need; from now on nothing within a call."""
        import torch

        self.captures_within_calls = False
        if not self.cache.keys:
            return
        try:
            with torch.inference_mode():
                self._grid(StepShape(1, 1, *self._longest)).launched = PAYS_AFTER
                for grid in list(self._grids.values()):
                    if self._pays(grid):
                        self._captured(grid)
        except RuntimeError as error:
            # Where memory does not hold a graph, the step is launched.
            if not is_out_of_memory(error):
                raise

    def release(self) -> None:
        """Free all memory."""
        self._forget()
        self.cache.release()

    def _forget(self) -> None:
        if self._graphs is not None:
            self._graphs.drop()
        self._grids = {}

    def decode(
        self,
        branches: Sequence[QuestionBranch],
        logits: torch.Tensor,
        prefixes: Sequence[torch.Tensor],
    ) -> None:
        """Answer ``branches``; see ``decode.decode``."""
        penalty, seen = self._decoding.repetition_penalty, None
        logits = logits.float()
        if penalty != 1.0:
            seen = seen_tokens(branches, prefixes, logits)
            logits = penalized(logits, seen, penalty)
        first = best_tokens(logits)
        if seen is not None:
            seen.scatter_(1, first[0].long().unsqueeze(1), True)
        rows: Placed = list(enumerate(branches))
        placed, grid = self._place(rows, 0)
        self._fill(grid, placed, rows, first[0].long(), seen)
        sent, coming = send(first), rows
        fed = 0
        while any(branch.open and branch.limit > fed + 1 for _, branch in placed):
            grid.step()
            grid.launched += not grid.captured
            fed += 1
            arriving, expected = sent, coming
            sent, coming = send(grid.chosen), placed
            self._read(arriving, expected)
            live = [(place, one) for place, one in placed if one.open and one.limit > fed + 1]
            smaller = bool(live) and 2 * _size(live) <= grid.shape.documents * grid.shape.width
            if live and (smaller or (self.captures_within_calls and self._pays(grid))):
                old = grid
                placed, grid = self._place(live, fed)
                self._fill(grid, placed, live, old.tokens, old.seen)
        self._read(sent, coming)

    def _read(self, sent: Sent, placed: Placed) -> None:
        """Append the tokens that have arrived to the answers that are still open."""
        tokens, probabilities = sent.read()
        for place, branch in placed:
            if branch.open:
                record(branch, int(tokens[place]), probabilities[place], self._decoding)

    def _place(self, live: Placed, fed: int) -> tuple[Placed, Grid]:
        """A grid with the answers of ``live``, each of which has been fed ``fed`` tokens of its own."""
        rows = [list(row) for _, row in groupby((one for _, one in live), lambda one: one.document)]
        runs = {id(one): self.cache.branch_run(one.document, one.number) for _, one in live}
        prefixes = [self.cache.prefix_run(row[0].document) for row in rows]
        self._longest = (
            _power_of_two(max(prefix.length for prefix in prefixes), self._longest[0]),
            _power_of_two(max(run.room for run in runs.values()), self._longest[1]),
        )
        grid = self._grid(
            StepShape(_power_of_two(len(rows)), _power_of_two(max(map(len, rows))), *self._longest)
        )
        if self.captures_within_calls and self._pays(grid):
            grid = self._captured(grid)
        documents, width, *_ = grid.shape
        scratch, device = self.cache.scratch, self._model.device
        branches = empty_branches(documents * width, scratch)
        shared = empty_prefixes(documents, scratch)
        placed = []
        for number, (row, prefix) in enumerate(zip(rows, prefixes, strict=True)):
            shared[0, number], shared[1, number] = prefix.start, prefix.length
            for place, branch in enumerate(row, number * width):
                run = runs[id(branch)]
                for kind, value in enumerate(
                    (branch.position + fed, run.start, run.length + fed, run.room)
                ):
                    branches[kind, place] = value
                placed.append((place, branch))
        grid.branches.copy_(upload(branches, device))
        grid.prefixes.copy_(upload(shared, device))
        return placed, grid

    def _fill(
        self,
        grid: Grid,
        placed: Placed,
        rows: Placed,
        tokens: torch.Tensor,
        seen: torch.Tensor | None,
    ) -> None:
        """Bring ``tokens`` and ``seen`` from where the answers were, in ``rows``, to where they are."""
        import torch

        moves = torch.tensor([[place for place, _ in these] for these in (rows, placed)])
        old, new = upload(moves, self._model.device)
        grid.tokens[new] = tokens[old]
        if grid.seen is not None and seen is not None:
            grid.seen[new] = seen[old]

    def _grid(self, shape: StepShape) -> Grid:
        if shape not in self._grids:
            if len(self._grids) >= GRIDS:
                self._forget()
            self._grids[shape] = self._new_grid(shape)
        return self._grids[shape]

    def _new_grid(self, shape: StepShape) -> Grid:
        import torch

        grid = Grid(shape, self.cache.scratch, self._model.device)
        if self._decoding.repetition_penalty != 1.0:
            vocabulary = self._model.config.get_text_config().vocab_size
            size = (shape.documents * shape.width, vocabulary)
            grid.seen = torch.zeros(size, dtype=torch.bool, device=self._model.device)
        grid.step = lambda: self._advance(grid)
        return grid

    def _pays(self, grid: Grid) -> bool:
        """Whether so many steps were launched in ``grid`` that a graph should take its place."""
        possible = self._graphs is not None and self.obstacle is None and not grid.captured
        return possible and grid.launched >= PAYS_AFTER

    def _captured(self, grid: Grid) -> Grid:
        """A grid of the same shape whose step is a graph, from now on; ``grid`` where that is impossible.

        It has buffers of its own: a capture takes steps, which would lose what stands in those of ``grid``.
        """
        if self._graphs is None or self.obstacle is not None:
            return grid
        made = self._new_grid(grid.shape)
        try:
            made.step = self._graphs.capture(made.step)
        except RuntimeError as error:
            if is_out_of_memory(error):
                # No obstacle to graphs: with less in flight there will be room for this one.
                raise
            self.obstacle = one_line(str(error), 200)
            self.refused_later = self.obstacle if self._proven else None
            return grid
        except EnvironmentProblem as error:
            if not self._proven:
                raise
            # No question is at fault: only another process can go on.
            raise ModelGone(error.message, hint=error.hint, restarts=True) from error
        made.captured = True
        self._grids[grid.shape] = made
        return made

    def _advance(self, grid: Grid) -> None:
        """Feed a token in every place and choose the next one: device work of unchanging shape."""
        hidden = self._model.model.language_model(
            inputs_embeds=self._model.get_input_embeddings()(grid.tokens).unsqueeze(0),
            position_ids=grid.branches[0, :-1].long().expand(3, 1, -1),
            use_cache=False,
            row=StepRow(self.cache, grid),
        ).last_hidden_state[0]
        logits = self._model.lm_head(hidden).float()
        if grid.seen is not None:
            logits = penalized(logits, grid.seen, self._decoding.repetition_penalty)
        grid.chosen.copy_(best_tokens(logits))
        grid.tokens.copy_(grid.chosen[0])
        if grid.seen is not None:
            grid.seen.scatter_(1, grid.tokens.unsqueeze(1), True)
        # Positions and lengths; one more fed token each.
        grid.branches[0] += 1
        grid.branches[2] += 1


def _size(live: Placed) -> int:
    """Places of the smallest grid for ``live``."""
    counts = [len(list(row)) for _, row in groupby(one.document for _, one in live)]
    return _power_of_two(len(counts)) * _power_of_two(max(counts))


def _power_of_two(count: int, least: int = 1) -> int:
    """The next power of two from ``count`` and ``least`` on."""
    return max(least, 1 << (count - 1).bit_length())
