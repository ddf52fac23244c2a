"""What each program stores, as a formula of what it loads, read from its PTX: a line of JSON for each.

``python -m tests.kernels.triton.ptx``, without TRITON_INTERPRET. PTX names every result once, and a multiply-add is
there what it will be on the GPU unless a product is left beside a sum; such sums are counted. Formulas that say the
same with other signs or in another order are written alike. Which element is loaded is not told: all have one formula.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Iterator
from itertools import product
from typing import Any

from gelu_patch.kernels.triton.kernel import ACTIVATIONS
from tests.kernels.triton import machine_code

CAPABILITIES = (80, 90, 100)
INSTRUCTION = re.compile(r"^\s*(?:@!?%p\d+\s+)?([a-z][\w.:]*)\s+(.*?);", re.MULTILINE)
SIGN = 1 << 31
# Exact: a 16-bit number as float32, a register as it is. Halves of a register are lanes, which have one formula.
COPIES = ("cvt.f32.bf16", "cvt.f32.f16", "mov.b32", "mov.b16", "mov.u32")

Formula = Any  # a register, a constant, or (operation, *formulas)


def without_sign(formula: Formula) -> tuple[bool, Formula]:
    if isinstance(formula, tuple) and formula[0] == "neg":
        return True, formula[1]
    if isinstance(formula, str) and formula.startswith("0f") and int(formula[2:], 16) & SIGN:
        return True, f"0f{int(formula[2:], 16) ^ SIGN:08X}"
    return False, formula


def negative(formula: Formula) -> Formula:
    was, bare = without_sign(formula)
    return bare if was else ("neg", bare)


def ordered(*formulas: Formula) -> list[Formula]:
    return sorted(formulas, key=repr)


def in_float32(operation: str) -> str:
    """The clamps of 16-bit inputs have 16-bit constants, so in which type they are made is all one."""
    return re.sub(r"(bf16|f16)(x2)?$", "f32", operation)


def widened(formula: Formula, operation: str) -> Formula:
    """A constant of a 16-bit operation, twice in a register or once, as the float32 constant that it is."""
    if not isinstance(formula, str) or not re.fullmatch(r"-?\d+|0x[0-9A-Fa-f]+", formula):
        return formula
    bits = (int(formula, 0) & 0xFFFF).to_bytes(2, "little")
    wide = b"\0\0" + bits if "bf16" in operation else struct.pack("<f", struct.unpack("<e", bits)[0])
    return f"0f{int.from_bytes(wide, 'little'):08X}"


class Program:
    """Walks through the instructions of a program; a loop is walked through once."""

    def __init__(self, ptx: str, tensors: list[str]) -> None:
        self.tensors = tensors
        self.known: dict[str, Formula] = {}
        self.shared: list[Formula] = []
        self.stored: dict[str, set[Formula]] = {}
        self.left_to_fuse = 0
        for operation, text in INSTRUCTION.findall(ptx):
            self.run(operation, [each.strip() for each in re.sub(r"[{}\[\]]", " ", text).split(",")], text)

    def run(self, operation: str, names: list[str], text: str) -> None:
        splits = text.startswith("{")
        target, *sources = names[0], *(self.known.get(name, name) for name in names[1:])
        if operation.startswith("ld.param"):
            self.known[target] = ("parameter", int(names[1].rsplit("_", 1)[1]))
        elif operation.startswith("ld.global"):
            self.known |= dict.fromkeys(names[:-1], ("loaded", self.tensor_at(names[-1])))
        elif operation.startswith("st.global"):
            self.stored.setdefault(self.tensor_at(names[0]), set()).update(sources)
        elif operation.startswith("st.shared.v4"):  # on its way to another order of the same tensor
            self.shared.append(sources[0])
        elif operation.startswith("ldmatrix"):
            self.known |= dict.fromkeys(names[:-1], self.shared.pop(0))
        elif operation.startswith("mov.b") and len(names) == 3:
            self.move(operation, names, splits)
        elif operation.endswith("f32x2"):
            pairs = [each if each[0] == "pair" else ("pair", (each, 0), (each, 1)) for each in sources]
            self.known[target] = ("pair", *(self.arithmetic(operation, [p[lane] for p in pairs]) for lane in (1, 2)))
        elif operation in COPIES:
            if target not in self.known or names[1] != "0x0":  # a load begins with zeros
                self.known[target] = sources[0]
        elif operation.startswith("setp"):
            kind = operation.split(".")[1]
            self.known |= dict.fromkeys(
                target.split("|"), (kind, sources[0], re.sub("^0[fx]0+$", "0", str(sources[1])))
            )
        elif operation.startswith("cvt.rn"):
            self.known[target] = ("rounded", *ordered(*set(sources)))  # one formula, if the two lanes have the same
        else:
            self.known[target] = self.arithmetic(operation, sources)

    def move(self, operation: str, names: list[str], splits: bool) -> None:
        last = self.known.get(names[-1], names[-1])
        if not splits:
            first = self.known.get(names[1], names[1])
            self.known[names[0]] = ("pair", first, last) if operation == "mov.b64" else first
        elif operation == "mov.b64":
            lanes = last[1:] if last[0] == "pair" else ((last, 0), (last, 1))
            self.known |= dict(zip(names, lanes, strict=False))
        else:
            self.known |= dict.fromkeys(names[:2], last)

    def arithmetic(self, operation: str, sources: list[Formula]) -> Formula:
        name = operation.split(".")[0]
        if name == "neg":
            return negative(sources[0])
        if name in ("mul", "fma") and "f32" in operation:
            (one_sign, one), (other_sign, other) = map(without_sign, sources[:2])
            if name == "fma":
                return "fma", one_sign != other_sign, *ordered(one, other), sources[2]
            unsigned = ("mul", *ordered(one, other))
            return negative(unsigned) if one_sign != other_sign else unsigned
        if name in ("add", "sub") and "f32" in operation:
            one, other = sources[0], negative(sources[1]) if name == "sub" else sources[1]
            self.left_to_fuse += any(without_sign(each)[1][0] == "mul" for each in (one, other))
            return "add", *ordered(one, other)
        if name == "abs":
            return "abs", sources[0]
        if name in ("min", "max"):
            return in_float32(operation), *ordered(*(widened(each, operation) for each in sources))
        return operation, *sources

    def tensor_at(self, address: str) -> str:
        """The tensor whose pointer is in the address; pointers come first among the parameters."""
        name = address.split("+")[0].strip()
        found = re.findall(r"\('parameter', (\d+)\)", repr(self.known.get(name, name)))
        return self.tensors[min(map(int, found))]


def rows() -> Iterator[dict[str, Any]]:
    programs = [("forward", False), ("backward", False), ("backward_with_sums", False), ("backward_with_sums", True)]
    for capability, dtype, form in product(CAPABILITIES, machine_code.DTYPES, ACTIVATIONS):
        for program, again in programs:
            ptx = machine_code.compiled(program, form, dtype, capability, again=again).asm["ptx"]
            tensors = list(machine_code.TENSORS[program])
            if program == "backward_with_sums":
                tensors.insert(2, "sums")
            read = Program(ptx, tensors)
            stored = {
                name: [hashlib.sha256(repr(each).encode()).hexdigest()[:16] for each in ordered(*formulas)]
                for name, formulas in read.stored.items()
                if name != "sums"  # they come out of a loop
            }
            row = {"capability": capability, "dtype": dtype, "form": form, "program": program, "again": again}
            yield row | {"stored": stored, "left_to_fuse": read.left_to_fuse}


if __name__ == "__main__":
    for row in rows():
        print(json.dumps(row))
