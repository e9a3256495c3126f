/* Undo and redo for one model. The list outlives the component: reruns and page switches keep it.

   history(key)        the History of that key (made on first use)
     .push(entry)      a new state after an action; drops what could be redone. entry: {z, ...}, never changed later
     .undo() .redo()   the state to show, or null
     .current          the state on screen
     .canUndo .canRedo */

const LIMIT = 500;
const histories = new Map();

export class History {
  entries = [];
  at = -1;

  push(entry) {
    this.entries.length = this.at + 1;
    this.entries.push(Object.freeze({ ...entry }));
    if (this.entries.length > LIMIT) this.entries.shift();
    this.at = this.entries.length - 1;
  }

  /* Change the state on screen without a new step (a refinement that ended, a switch). */
  amend(change) {
    if (this.at >= 0) this.entries[this.at] = Object.freeze({ ...this.entries[this.at], ...change });
  }

  undo() {
    return this.canUndo ? this.entries[--this.at] : null;
  }

  redo() {
    return this.canRedo ? this.entries[++this.at] : null;
  }

  get current() {
    return this.entries[this.at] ?? null;
  }

  get canUndo() {
    return this.at > 0;
  }

  get canRedo() {
    return this.at < this.entries.length - 1;
  }
}

export function history(key) {
  if (!histories.has(key)) histories.set(key, new History());
  return histories.get(key);
}
