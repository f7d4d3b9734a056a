// @ts-check
// An editor of WGSL: a text area with line numbers, in which Tab inserts spaces unless Escape was pressed before.

/** What Tab inserts, up to the next multiple. */
const INDENT = 4;

export class Editor {
  /**
   * @param {HTMLTextAreaElement} area @param {HTMLElement} gutter for the line numbers
   * @param {{onInput: (text: string) => void, onRun: () => void}} hooks
   */
  constructor(area, gutter, { onInput, onRun }) {
    this.area = area;
    this.gutter = gutter;
    /** @type {Set<number>} */ this.marked = new Set();
    this.lines = 0;
    let leaves = false;
    area.addEventListener('keydown', event => {
      if (event.key === 'Escape') leaves = true;
      else if (event.key === 'Tab' && !leaves && !event.shiftKey && !event.ctrlKey && !event.altKey && !event.metaKey) {
        event.preventDefault();
        this.insert(' '.repeat(INDENT - (this.column() % INDENT)));
      } else if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        onRun();
      } else if (event.key !== 'Shift' && event.key !== 'Tab') leaves = false;
    });
    area.addEventListener('blur', () => {
      leaves = false;
    });
    area.addEventListener('scroll', () => {
      gutter.scrollTop = area.scrollTop;
    });
    area.addEventListener('input', () => {
      this.number();
      onInput(area.value);
    });
  }

  get text() {
    return this.area.value;
  }

  set text(text) {
    this.area.value = text;
    this.area.scrollTo(0, 0);
    this.mark([]);
  }

  /** Characters between the start of the line and the cursor. */
  column() {
    const before = this.area.value.slice(0, this.area.selectionStart);
    return before.length - 1 - before.lastIndexOf('\n');
  }

  /** @param {string} text */
  insert(text) {
    // The only way that the browser can undo.
    if (document.execCommand('insertText', false, text)) return;
    this.area.setRangeText(text, this.area.selectionStart, this.area.selectionEnd, 'end');
    this.area.dispatchEvent(new Event('input'));
  }

  /** Marks lines, counted from 1, as wrong. @param {number[]} lines */
  mark(lines) {
    this.marked = new Set(lines);
    this.lines = 0;
    this.number();
  }

  /** Writes the line numbers. */
  number() {
    const lines = this.area.value.split('\n').length;
    if (lines === this.lines) return;
    this.lines = lines;
    const parts = Array.from({ length: lines }, (_, i) => {
      if (!this.marked.has(i + 1)) return `${i + 1}\n`;
      const mark = document.createElement('mark');
      mark.textContent = `✗ ${i + 1}`;
      return [mark, '\n'];
    });
    // Room for the text's bar to scroll sideways.
    this.gutter.replaceChildren(...parts.flat(), '\n\n');
    this.gutter.scrollTop = this.area.scrollTop;
  }

  /** Puts the cursor on a line, counted from 1. @param {number} line */
  goTo(line) {
    const lines = this.area.value.split('\n'),
      start = lines.slice(0, line - 1).reduce((sum, it) => sum + it.length + 1, 0);
    this.area.focus();
    this.area.setSelectionRange(start, start + (lines[line - 1] ?? '').length);
    this.area.scrollTop = ((line - 1) / lines.length) * this.area.scrollHeight - this.area.clientHeight / 2;
  }
}
