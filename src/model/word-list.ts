/** Words that can be told apart when they are read aloud; each of the first goes with each of the second. */
const first = `
  apple autumn black bold brass bright bronze brown calm cedar cherry clay cloud cold copper coral
  cotton dawn deep desert dusty early eagle fern fire flint forest free frost garden ginger glass
  gold green happy honey ice iron ivory jade july kind lemon light lucky maple marble mild
  misty moon north ocean olive paper pepper plum purple quiet rapid river silver snow summer winter
`;
const second = `
  anchor arrow badger basket beaver bell bird bridge camel candle castle dolphin donkey engine falcon
  fiddle fish hammer horse island kettle ladder lantern monkey needle otter pocket rabbit ship spider
  tower wolf
`;

const split = (words: string) => words.split(/\s+/).filter((word) => word !== '');

/** 2048 words, 11 bits each: `applewolf`, `winteranchor`. */
export const wordList: readonly string[] = split(first).flatMap((one) =>
  split(second).map((other) => `${one}${other}`),
);
