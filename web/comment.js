// @ts-check
// The comment at the top of a kernel's file: its formula, and what it says under Computes, Grid, Memory, Why and Measured.

/**
 * @typedef {{text: string} | {drawing: string}} Paragraph a drawing keeps its lines
 */

/**
 * @param {string} source of a kernel
 * @returns {{formula: string, parts: {title: string, paragraphs: Paragraph[]}[]}} parts without a title explain the formula
 */
export function parseComment(source) {
  const all = source.split('\n'),
    end = all.findIndex(line => !line.startsWith('//'));
  const lines = all.slice(0, end < 0 ? all.length : end).map(line => line.replace(/^\/\/ ?/, ''));
  const blank = lines.findIndex(line => line.trim() === '');
  // An announced formula stands after the blank line.
  const isAnnounced = lines[Math.max(blank, 0) - 1]?.endsWith(':');
  const next = isAnnounced ? lines.findIndex((line, i) => i > blank && line !== '' && !line.startsWith(' ')) : blank;
  const cut = next < 0 ? lines.length : next;
  /** @type {{title: string, lines: string[]}[]} */
  const parts = [{ title: '', lines: [] }];
  for (const line of lines.slice(cut)) {
    const [, title, rest] = /^([A-Z][a-z]+): (.*)$/.exec(line) ?? [];
    if (title) parts.push({ title, lines: [rest] });
    else /** @type {{lines: string[]}} */ (parts.at(-1)).lines.push(parts.length > 1 ? line.replace(/^ {2}/, '') : line);
  }
  return {
    formula: lines.slice(0, cut).join('\n').trim(),
    parts: parts
      .map(({ title, lines }) => ({ title, paragraphs: paragraphs(lines) }))
      .filter(({ paragraphs }) => paragraphs.length > 0),
  };
}

/** Joins lines of text; those that are indented stay as they are. @param {string[]} lines @returns {Paragraph[]} */
function paragraphs(lines) {
  /** @type {Paragraph[]} */
  const found = [];
  let isNew = true;
  for (const line of lines) {
    const last = found.at(-1),
      isDrawn = line.startsWith('  ');
    if (line.trim() === '') {
      isNew = true;
      if (last && 'drawing' in last) last.drawing += '\n';
    } else if (isDrawn) {
      if (last && 'drawing' in last) last.drawing += `\n${line}`;
      else found.push({ drawing: line });
      isNew = false;
    } else {
      if (last && 'text' in last && !isNew) last.text += ` ${line}`;
      else found.push({ text: line });
      isNew = false;
    }
  }
  return found.map(it => ('text' in it ? it : { drawing: it.drawing.replace(/\n+$/, '').replace(/\n{3,}/g, '\n\n') }));
}
