// Numbers that a seed gives again: mulberry32.

export function randomOf(seed) {
  let state = seed >>> 0;

  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let n = Math.imul(state ^ (state >>> 15), 1 | state);
    n = (n + Math.imul(n ^ (n >>> 7), 61 | n)) ^ n;
    return ((n ^ (n >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const between = (random, low, high) => low + random() * (high - low);
export const pick = (random, list) => list[Math.floor(random() * list.length)];
