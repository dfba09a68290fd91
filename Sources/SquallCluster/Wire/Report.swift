/// The agent's heartbeat: its whole state, each interval and at once when something changes.
///
/// ```
/// number u32 · sentNs u64 · orderNumber u32 · run u64 · runNs (present u8 · u64) · flags u8
///   (1 plan ready, 2 leaving, 4 kept full, 8 stopped)
/// workers list(worker)
/// worker: slot varint · life u64 · state u8 · epoch varint · sentBefore varint
///   flags u8 (1 exhausted, 2 taken back)
/// ```
package struct Report: Equatable, Sendable {
  package struct Worker: Equatable, Sendable {
    package enum State: UInt8, Sendable {
      /// The process runs and can take a share.
      case ready = 0
      /// It does not answer and its last share has run out: it sends nothing.
      case stalled
      /// The process is gone; what it counted is on its way.
      case dead
      /// Its part is over; its ledger is on its way.
      case finished
    }

    package var slot: UInt16
    package var life: UInt64
    package var state: State
    /// The newest epoch whose share it has taken up; 0 for none.
    package var epoch: UInt32
    /// Requests it had sent in its life when it took that share up.
    package var sentBefore: UInt64
    /// It has sent all the requests its share allows.
    package var isExhausted: Bool
    /// It sends nothing until it gets a share of a later epoch: the order named none for it, or its
    /// agent has taken it back, because it stalled or too much is undelivered.
    package var isTakenBack: Bool

    package init(
      slot: UInt16, life: UInt64, state: State, epoch: UInt32 = 0, sentBefore: UInt64 = 0,
      isExhausted: Bool = false, isTakenBack: Bool = false
    ) {
      self.slot = slot
      self.life = life
      self.state = state
      self.epoch = epoch
      self.sentBefore = sentBefore
      self.isExhausted = isExhausted
      self.isTakenBack = isTakenBack
    }
  }

  /// From 1, rising within a connection.
  package var number: UInt32
  /// The agent's clock when it made this. The lease that answers it runs from here.
  package var sentNs: UInt64
  /// The newest order it has acted on in this connection; 0 for none.
  package var orderNumber: UInt32
  /// The run that all below is about; 0 while it stands by for one.
  package var run: UInt64
  /// The run's time by its clock when it made this; nil before the run has begun.
  package var runNs: UInt64?
  package var isPlanReady: Bool
  /// It wants no share any more and will go when everything is delivered.
  package var isLeaving: Bool
  /// It keeps as many undelivered batches as it may, and has stopped its load for that.
  package var isFull: Bool
  /// The master, or the one before it, has told it to stop. A master that does not know of this has
  /// died before it could write it down.
  package var isStopped: Bool
  package var workers: [Worker]

  package init(
    number: UInt32, sentNs: UInt64, orderNumber: UInt32 = 0, run: UInt64 = 0,
    runNs: UInt64? = nil, isPlanReady: Bool = false, isLeaving: Bool = false, isFull: Bool = false,
    isStopped: Bool = false, workers: [Worker] = []
  ) {
    self.number = number
    self.sentNs = sentNs
    self.orderNumber = orderNumber
    self.run = run
    self.runNs = runNs
    self.isPlanReady = isPlanReady
    self.isLeaving = isLeaving
    self.isFull = isFull
    self.isStopped = isStopped
    self.workers = workers
  }
}
