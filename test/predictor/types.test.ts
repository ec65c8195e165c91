import { describe, expect, it } from 'vitest'
import { inputSchema, outputSchema, problems } from './support.ts'

const uri = { type: 'string', format: 'uri' }
const string = { type: 'string' }
const integer = { type: 'integer' }
const secret = { type: 'string', format: 'password', writeOnly: true, 'x-cog-secret': true }

describe('an input annotated', () => {
  it.each<readonly [string, Record<string, unknown>]>([
    ['x: str', { ...string, required: true }],
    ['x: int', { ...integer, required: true }],
    ['x: float', { type: 'number', required: true }],
    ['x: bool', { type: 'boolean', required: true }],
    ['x: Path', { ...uri, required: true }],
    ['x: cog.Path', { ...uri, required: true }],
    ['x: pathlib.Path', { ...uri, required: true }],
    ['x: File', { ...uri, required: true }],
    ['x: Secret', { ...secret, required: true }],
    ['x: dict', { type: 'object', required: true }],
    ['x: dict[str, Any]', { type: 'object', required: true }],
    ['x: Dict[str, int]', { type: 'object', additionalProperties: integer, required: true }],
    ['x: Any', { required: true }],
    ['x: Any = None', { default: null, nullable: true }],
    ['x: list', { type: 'array', items: {}, required: true }],
    ['x: list[str]', { type: 'array', items: string, required: true }],
    ['x: List[Path]', { type: 'array', items: uri, required: true }],
    ['x: t.List["int"]', { type: 'array', items: integer, required: true }],
    ['x: list[list[int]]', { type: 'array', items: { type: 'array', items: integer }, required: true }],
    ['x: list[Optional[int]]', { type: 'array', items: { ...integer, nullable: true }, required: true }],
    ['x: Optional[int]', { ...integer, nullable: true }],
    ['x: Optional[int] = None', { ...integer, nullable: true, default: null }],
    ['x: int | None = None', { ...integer, nullable: true, default: null }],
    ['x: None | int = 3', { ...integer, nullable: true, default: 3 }],
    ['x: "int | None" = None', { ...integer, nullable: true, default: null }],
    ['x: Union[int, None]', { ...integer, nullable: true }],
    ['x: Optional[list[str]] = None', { type: 'array', items: string, nullable: true, default: null }],
    ['x: Union[str, int]', { anyOf: [string, integer], required: true }],
    ['x: str | list[str]', { anyOf: [string, { type: 'array', items: string }], required: true }],
    ['x: str | int | None = "a"', { anyOf: [string, integer], nullable: true, default: 'a' }],
    ['x: Union[int, Union[int, str]]', { anyOf: [integer, string], required: true }],
    ['x: te.Annotated[int, "seconds"] = 4', { ...integer, default: 4 }],
    ['x: Annotated[list[int], Opaque]', { type: 'array', items: { type: 'object' }, required: true }],
    ['x: Annotated[Optional[Whatever], cog.Opaque] = None', { type: 'object', nullable: true, default: null }],
    ['x: Annotated[Union[Whatever, None], Opaque]', { type: 'object', nullable: true }],
    [
      'x: Annotated[t.Union[t.List[Whatever], None], Opaque]',
      { type: 'array', items: { type: 'object' }, nullable: true },
    ],
    ['x: Annotated[Any, Opaque]', { type: 'object', required: true }],
    ['x: Secret = None', { ...secret, default: null, nullable: true }],
    ['x: Optional[Secret] = Input(default=None)', { ...secret, default: null, nullable: true }],
    ['x: int = Input(default=None)', { ...integer, required: true }],
    ['x: dict = {"a": [1, 2.5, True, None]}', { type: 'object', default: { a: [1, 2.5, true, null] } }],
    ['x: float = 1', { type: 'number', default: 1 }],
    ['x: float = -1.5e3', { type: 'number', default: -1500 }],
    ['x: int = 0x10', { ...integer, default: 16 }],
    ['x: int = 1_000', { ...integer, default: 1000 }],
    ['x: str = "a" "b"', { ...string, default: 'ab' }],
    ['x: str = r"\\d"', { ...string, default: '\\d' }],
    ['x: str = "tab\\t\\u00e9\\x41"', { ...string, default: 'tab\té\u0041' }],
    ['x: list[float] = [0.5] * 3', { type: 'array', items: { type: 'number' }, default: [0.5, 0.5, 0.5] }],
    ['x: int = Input(7)', { ...integer, default: 7 }],
    ['x: int = Input(..., ge=1)', { ...integer, minimum: 1, required: true }],
    [
      'x: Literal["a", "b"] = "a"',
      {
        allOf: [{ $ref: '#/components/schemas/x' }],
        default: 'a',
        choices: { title: 'x', description: 'An enumeration.', type: 'string', enum: ['a', 'b'] },
      },
    ],
    [
      'x: Optional[Literal[1, 2]] = None',
      {
        allOf: [{ $ref: '#/components/schemas/x' }],
        default: null,
        nullable: true,
        choices: { title: 'x', description: 'An enumeration.', type: 'integer', enum: [1, 2] },
      },
    ],
    [
      'x: list[str] = Input(choices=["a", "b"], default=["a"])',
      {
        type: 'array',
        items: { $ref: '#/components/schemas/x' },
        default: ['a'],
        choices: { title: 'x', description: 'An enumeration.', type: 'string', enum: ['a', 'b'] },
      },
    ],
    [
      'x: str = Input(description="d", min_length=1, max_length=9, regex="^a", deprecated=True)',
      { ...string, description: 'd', minLength: 1, maxLength: 9, pattern: '^a', deprecated: true, required: true },
    ],
    ['x: Path = Input(accept="image/*")', { ...uri, 'x-cog-accept': 'image/*', required: true }],
    [
      'x: list[Path] = Input(accept="image/*", default=[])',
      { type: 'array', items: uri, 'x-cog-accept': 'image/*', default: [] },
    ],
    [
      'x: list[int] = Input(ge=1, le=3)',
      { type: 'array', items: { ...integer, minimum: 1, maximum: 3 }, required: true },
    ],
  ])('%s', async (parameter, expected) => {
    expect(await inputSchema(parameter)).toEqual(expected)
  })

  it.each<readonly [string, string, Record<string, unknown>]>([
    [
      'a typed dict',
      'class D(TypedDict):\n    a: int\n    b: NotRequired[str]\n',
      { type: 'object', properties: { a: { ...integer, title: 'A' }, b: { ...string, title: 'B' } }, required: ['a'] },
    ],
    ['an alias', 'D = Optional[int]', { ...integer, nullable: true }],
    ['a type statement', 'type D = list[str]', { type: 'array', items: string }],
    ['a new type', 'D = NewType("D", int)', integer],
    ['a subclass of Path', 'class D(cog.Path):\n    pass\n', uri],
  ])('with %s', async (_, before, expected) => {
    const { required: _required, ...rest } = await inputSchema('x: D', before)
    const { required, ...wanted } = expected
    expect(rest).toEqual(required === undefined ? wanted : { ...wanted })
  })
})

describe('an output annotated', () => {
  const model = `
class Inner(BaseModel):
    score: float
class Out(BaseModel):
    text: str
    inner: Inner
    many: list[Inner] = []
    maybe: Optional[int]
    file: Path = Field(default=None, description="a file")
    KIND: ClassVar[str] = "k"
    _private: int = 1
`
  const inner = { type: 'object', properties: { score: { type: 'number', title: 'Score' } }, required: ['score'] }
  it.each<readonly [string, Record<string, unknown>]>([
    ['str', string],
    ['Path', uri],
    ['list[Path]', { type: 'array', items: uri }],
    ['dict', { type: 'object' }],
    ['dict[str, list[int]]', { type: 'object', additionalProperties: { type: 'array', items: integer } }],
    ['Any', {}],
    ['Optional[str]', { ...string, nullable: true }],
    ['str | int', { anyOf: [string, integer] }],
    ['Iterator[str]', { type: 'array', items: string, 'x-cog-array-type': 'iterator' }],
    ['AsyncIterator[Path]', { type: 'array', items: uri, 'x-cog-array-type': 'iterator' }],
    ['collections.abc.Iterator[int]', { type: 'array', items: integer, 'x-cog-array-type': 'iterator' }],
    ['Generator[str, None, None]', { type: 'array', items: string, 'x-cog-array-type': 'iterator' }],
    [
      'ConcatenateIterator[str]',
      { type: 'array', items: string, 'x-cog-array-type': 'iterator', 'x-cog-array-display': 'concatenate' },
    ],
    [
      'cog.AsyncConcatenateIterator[str]',
      { type: 'array', items: string, 'x-cog-array-type': 'iterator', 'x-cog-array-display': 'concatenate' },
    ],
    [
      'ConcatenateIterator',
      { type: 'array', items: string, 'x-cog-array-type': 'iterator', 'x-cog-array-display': 'concatenate' },
    ],
    ['Iterator[Inner]', { type: 'array', items: inner, 'x-cog-array-type': 'iterator' }],
    [
      'Out',
      {
        type: 'object',
        properties: {
          text: { ...string, title: 'Text' },
          inner: { ...inner, title: 'Inner' },
          many: { type: 'array', items: inner, title: 'Many' },
          maybe: { ...integer, nullable: true, title: 'Maybe' },
          file: { ...uri, title: 'File', description: 'a file' },
        },
        required: ['text', 'inner'],
      },
    ],
    ['None', { type: 'object', nullable: true, enum: [null] }],
  ])('%s', async (annotation, expected) => {
    expect(await outputSchema(annotation, `from pydantic import Field\n${model}`)).toEqual(expected)
  })

  it('as a dataclass, with inherited fields', async () => {
    const before =
      '@dataclass\nclass A:\n    a: int\n    b: str = "x"\n@dataclass(frozen=True)\nclass B(A):\n    c: list[int] = field(default_factory=list)\n    a: float\n'
    expect(await outputSchema('B', before)).toEqual({
      type: 'object',
      properties: {
        a: { type: 'number', title: 'A' },
        b: { ...string, title: 'B' },
        c: { type: 'array', items: integer, title: 'C' },
      },
      required: ['a'],
    })
  })

  it('as a model that holds itself', async () => {
    expect(
      await outputSchema('Node', 'class Node(BaseModel):\n    value: int\n    next: Optional["Node"] = None\n'),
    ).toMatchObject({
      properties: { next: { type: 'object', nullable: true } },
    })
  })
})

describe('a type without a JSON form', () => {
  it.each([
    ['tuple', 'x: tuple[int, int]', 'unsupported-type'],
    ['set', 'x: set[str]', 'unsupported-type'],
    ['bytes', 'x: bytes', 'unsupported-type'],
    ['an array', 'x: np.ndarray', 'unsupported-type'],
    ['a name that nobody defines', 'x: Nothing', 'unknown-type'],
    ['a plain class', 'x: Plain', 'unsupported-type'],
    ['an enum class', 'x: Color', 'unsupported-type'],
    ['a model as input', 'x: Model', 'unsupported-type'],
    ['an iterator as input', 'x: Iterator[str]', 'unsupported-type'],
    ['an expression', 'x: 1 + 2', 'unsupported-type'],
    ['too few arguments', 'x: dict[str]', 'unsupported-type'],
  ])('%s is refused with its place', async (_, parameter, code) => {
    const source = `from typing import *\nfrom enum import Enum\nimport numpy as np\nfrom cog import *\nclass Plain: ...\nclass Color(Enum):\n    RED = "r"\nclass Model(BaseModel):\n    a: int\nclass Predictor:\n    def predict(self, ${parameter}) -> str: ...\n`
    expect(await problems(source)).toEqual([`${code} predict.py:11:26`])
  })
})
