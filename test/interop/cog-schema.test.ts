import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { isDeepStrictEqual } from 'node:util'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { model, withoutAdditions } from '../predictor/support.ts'
import { needTool, ownGoTool } from '../support/tool.ts'

/*
 * The OpenAPI document beside the one that Cog's own generator makes of the same source. The newest version of Cog that the Go
 * proxy has; its runtime of the same day serves what this writes.
 */

const COG = 'github.com/replicate/cog@v0.22.0'

const BEFORE = `
import pathlib
import typing
import typing as t
from dataclasses import dataclass
from enum import Enum
from typing import Any, AsyncIterator, Dict, Iterator, List, Literal, Optional, Tuple, TypedDict, Union
from cog import AsyncConcatenateIterator, BaseModel, BasePredictor, ConcatenateIterator, File, Input, Path, Secret

WORD = "k"
WORDS = ["x", "y"]
TABLE = {"m": 1, "n": 2}
ONE = 1

class Row(TypedDict):
    a: int
    b: str

@dataclass
class Point:
    a: int

class Part(BaseModel):
    x: int
    y: Optional[str] = None

class Result(BaseModel):
    a: str
    b: int = 1
    c: Optional[float] = None
    e: Path
    f: Optional[Path]
    g: dict
    i: list[Part]
    j: Part
    k: Optional[Part] = None
    l: Dict[str, int]
    m: bool = True
    n: "str"
    o: str | None = None

class Nothing(BaseModel):
    pass
`

const handler = (parameters: string, output = 'str'): string =>
  `${BEFORE}\nclass Predictor:\n    def run(self, ${parameters}) -> ${output}:\n        pass\n`

const TYPES = [
  'str',
  'int',
  'float',
  'bool',
  'Path',
  'File',
  'Secret',
  'dict',
  'Dict',
  'pathlib.Path',
  '"str"',
  'List[str]',
  'list[int]',
  'List[Path]',
  'List[Secret]',
  'list[dict]',
  't.List[str]',
  'typing.Optional[str]',
  'Optional[str]',
  'Optional[list[int]]',
  'str | None',
  'None | str',
  'Union[str, None]',
  'Union[None, str]',
  'Union[str, int]',
  'Union[str, List[str]]',
  'Optional[bool]',
  'Optional[dict]',
  'typing.Annotated[str, "x"]',
]
const DEFAULTS = [
  'str = "x"',
  'str = ""',
  "str = 'single'",
  'str = "é 😀"',
  'str = "http://x/y?z=1&w=<2>"',
  'str = None',
  'str = WORD',
  'int = 3',
  'int = -3',
  'int = 1_000',
  'int = 0x10',
  'float = 1',
  'float = 1.5',
  'float = -0.5',
  'float = 1e-3',
  'bool = True',
  'List[str] = ["a"]',
  'List[str] = []',
  'dict = {"a": 1}',
  'dict = {}',
  'str | int = 3',
  'Optional[int] = None',
  'Optional[Path] = None',
  'Optional[List[str]] = None',
  'str | None = None',
  'Optional[str] = "x"',
  'Secret = None',
  'Optional[Secret] = None',
  'str = 5',
  'int = "x"',
  'int = True',
  'int = 1.0',
]
const INPUTS = [
  'str = Input()',
  'str = Input(description="d")',
  'str = Input(default=None)',
  'str = Input(default="<b>&</b>")',
  'int = Input(ge=0, le=10)',
  'int = Input(default=1, ge=0, le=10, description="n")',
  'float = Input(default=0.5, ge=0, le=1)',
  'float = Input(default=1, ge=0.1, le=1.5)',
  'Optional[float] = Input(default=None, ge=0.0, le=1.0)',
  'Optional[int] = Input(default=5, ge=1)',
  'str = Input(min_length=1, max_length=5)',
  'str = Input(regex="^a+$")',
  String.raw`str = Input(regex=r"^\d+$")`,
  'str = Input(choices=["x", "y"])',
  'str = Input(default="x", choices=["x", "y"])',
  'str = Input(choices=["x"])',
  'int = Input(default=1, choices=[1, 2], description="c")',
  'str = Input(default="z", choices=["x", "y"])',
  'Optional[str] = Input(default=None, choices=["x", "y"])',
  'Optional[str] = Input(choices=["x", "y"])',
  'str = Input(default=WORD, choices=WORDS)',
  'str = Input(choices=list(TABLE.keys()))',

  'str = Input(choices=WORDS + ["w"])',
  'str = Input(description=WORD)',
  'str = Input(description="""two\nlines""")',
  'str = Input(deprecated=True)',
  'str = Input(default="x", deprecated=True)',
  'str = Input(deprecated=False)',
  'Path = Input(description="image", accept="image/*")',
  'Optional[Path] = Input(default=None, accept=".png")',
  'Secret = Input(default=None)',
  'List[int] = Input(default=[1, 2])',
  'bool = Input(default=False)',
]
const NAMES = ['a_long_name', 'aB', 'prompt2', '_a', 'a_', 'a__b', 'input', 'output', 'id', 'aURLName', 'num_2x']
const OUTPUTS = [
  'list[list[str]]',
  'dict[str, list[int]]',
  'Iterator[list[str]]',
  'str',
  'int',
  'float',
  'bool',
  'Path',
  'File',
  'dict',
  'list[str]',
  'list[Path]',
  'list[dict]',
  'List[int]',
  'Dict[str, int]',
  'dict[str, Path]',
  'dict[str, Part]',
  'Iterator[str]',
  'Iterator[Path]',
  'Iterator[dict]',
  'Iterator[Part]',
  'AsyncIterator[int]',
  'ConcatenateIterator[str]',
  'AsyncConcatenateIterator[str]',
  'typing.Iterator[str]',
  'Result',
  'Part',
  '"Part"',
  'list[Part]',
  'Nothing',
  'Row',
]
const WHOLE = [
  handler('a: str, b: int = 1, c_d: float = 2.0'),
  handler('a: str, *, b: int = 1'),
  `${BEFORE}\ndef Predictor(a: str) -> str:\n    pass\n`,
  `${BEFORE}\nclass Predictor:\n    def run(self, a: str) -> str:\n        """Says it."""\n`,
  `${BEFORE}\nclass Predictor:\n    async def run(self, a: str) -> str:\n        pass\n`,
  `${BEFORE}\nclass Base(BasePredictor):\n    def predict(self, a: str) -> str:\n        pass\nclass Predictor(Base):\n    pass\n`,
  `from __future__ import annotations\n${BEFORE}\nclass Predictor:\n    def run(self, a: str | None = None) -> str:\n        pass\n`,
  `import cog\n${BEFORE}\nclass Predictor:\n    @cog.streaming\n    def run(self, a: str) -> Iterator[str]:\n        pass\n`,
]
/** Rows of docs/reference/differences-from-cog.md and of docs/reference/openapi.md: Cog refuses these, or says something else. */
const DIFFERENT = [
  'Any',
  'Any = None',
  'list',
  'List[List[str]]',
  'Dict[str, int]',
  'Literal["a", "b"]',
  'Union[str, int, None] = None',
  'Optional[Union[str, int]]',
  'List[str] = Input(choices=["x", "y"])',
  'int = Input(default=10**2)',
  'int = Input(default=2, ge=ONE)',
  'str = Input("x")',
  'str = Input(description=f"x")',
  'str = Input(description="one " "two")',
  String.raw`str = "\n"`,
  String.raw`str = Input(description='it\'s')`,
].map((annotation) => handler(`a: ${annotation}`))
const DIFFERENT_OUTPUTS = [
  'Any',
  'list',
  'dict[str, Any]',
  'Optional[str]',
  'Union[str, int]',
  'typing.Generator[str, None, None]',
  'Literal["a"]',
  'Point',
  'ConcatenateIterator',
].map((output) => handler('a: str', output))

const EQUAL = [
  ...[...TYPES, ...DEFAULTS, ...INPUTS].map((annotation) => handler(`a: ${annotation}`)),
  ...NAMES.map((name) => handler(`${name}: str`)),
  ...OUTPUTS.map((output) => handler('a: str', output)),
  ...WHOLE,
]

interface Answer {
  readonly document?: unknown
  readonly refusal?: string
}

async function cogAnswers(program: string, sources: readonly string[]): Promise<readonly Answer[]> {
  const child = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.end(sources.map((source) => `${JSON.stringify(source)}\n`).join(''))
  const answers = (await text(child.stdout)).trimEnd().split('\n')
  expect(answers).toHaveLength(sources.length)
  return answers.map((line) => JSON.parse(line) as Answer)
}

async function ourDocument(source: string): Promise<unknown> {
  return withoutAdditions((await model(source)).openapi)
}

/** What tells one source from the others. */
const lastLines = (source: string): string => source.replace(BEFORE, '')

test("the OpenAPI document is the one that Cog's generator makes, for each kind of signature", async (context) => {
  const program = await ownGoTool(join(import.meta.dirname, 'cog-schema/main.go'), COG)
  needTool(program, "Cog's schema generator (Go)", context)
  const answers = await cogAnswers(program, EQUAL)
  for (const [index, source] of EQUAL.entries()) {
    const { document, refusal } = answers[index] ?? {}
    expect(refusal, lastLines(source)).toBeUndefined()
    expect(await ourDocument(source), lastLines(source)).toEqual(document)
  }
})

test('where it differs on purpose, Cog still says something else, or nothing', async (context) => {
  const program = await ownGoTool(join(import.meta.dirname, 'cog-schema/main.go'), COG)
  needTool(program, "Cog's schema generator (Go)", context)
  const sources = [...DIFFERENT, ...DIFFERENT_OUTPUTS]
  const answers = await cogAnswers(program, sources)
  const equal: string[] = []
  for (const [index, source] of sources.entries()) {
    if (isDeepStrictEqual(await ourDocument(source), answers[index]?.document)) equal.push(lastLines(source))
  }
  expect(equal).toEqual([])
})
