internal import Dispatch
internal import HTTPTypes
internal import Hummingbird
internal import NIOConcurrencyHelpers
internal import SquallLoad
internal import SquallReport

/// What a form asks before a run: whether it can be, and what it would send.
extension ControlPort {
  func addOrders(to router: Router<BasicRequestContext>) {
    router.post("api/check") { request, _ in
      await self.order(request) { order in
        Self.json(.ok, order.json)
      }
    }
    router.post("api/preview") { request, _ in
      await self.order(request) { order in
        guard let text = await self.trials.text(of: order) else {
          return Self.error(.conflict, "another preview goes on: try again when it has ended")
        }
        return Self.json(.ok, .object([.init("text", .string(text))]))
      }
    }
  }

  func addForms(to router: Router<BasicRequestContext>) {
    router.get("api/form") { request, _ in
      await self.answer(request) { control in
        Self.json(.ok, .object([.init("order", await control.order(of: nil) ?? .null)]))
      }
    }
    router.get("api/runs/:id/order") { request, context in
      await self.attempt(request) { control throws(Objection) in
        let order = await control.order(of: try Self.id(context))
        return Self.json(.ok, .object([.init("order", order ?? .null)]))
      }
    }
  }

  private func order(
    _ request: Request, by answering: (RunOrder) async -> Answer
  ) async -> Response {
    await follow(request) { _, document throws(Objection) in
      do throws(RunOrder.Fault) {
        return await answering(try RunOrder(document))
      } catch {
        return Self.problem(error)
      }
    }
  }

  /// As any problem, with the member it is about: RFC 9457 lets a problem have more of its own.
  static func problem(_ fault: RunOrder.Fault) -> Answer {
    func place(_ number: Int?) -> JSONValue { number.map { .integer(Int128($0)) } ?? .null }
    let status = HTTPResponse.Status.unprocessableContent
    let problem = JSONValue.object([
      .init("title", .string(status.reasonPhrase)), .init("status", .integer(Int128(status.code))),
      .init("detail", .string(fault.sentence)),
      .init(
        "errors",
        .array([
          .object([
            .init("field", .string(fault.field)), .init("detail", .string(fault.sentence)),
            .init("line", place(fault.line)), .init("column", place(fault.column)),
          ])
        ])),
    ])
    return (status, "application/problem+json", problem.text + "\n")
  }
}

/// Requests that are tried before a run, one preview at a time: each blocks a thread until it is
/// answered, or its timeout has passed.
final class Trials: Sendable {
  static let textByteCountMax = 256 << 10

  private let isBusy = NIOLockedValueBox(false)

  /// What was sent and answered; nil while another goes on.
  func text(of order: RunOrder) async -> String? {
    let isFree = isBusy.withLockedValue { isBusy in
      defer { isBusy = true }
      return !isBusy
    }
    guard isFree else { return nil }
    let text = await withCheckedContinuation { done in
      DispatchQueue.global().async { done.resume(returning: Self.tried(order)) }
    }
    isBusy.withLockedValue { $0 = false }
    return text
  }

  private static func tried(_ order: RunOrder) -> String {
    var text = ""
    do throws(Complaint) {
      try order.tryOut { piece throws(Complaint) in
        if text.utf8.count < textByteCountMax { text += piece }
      }
    } catch {
      text += "\n\(error.sentence)\n"
    }
    return text
  }
}

extension RunOrder {
  /// The answer to `POST /api/check`.
  var json: JSONValue {
    var words = RunFacts()
    words.takeWords(of: plan)
    var summary = PlanSummary(plan)
    summary.userStages = words.userStages
    return .object([
      .init("plan", summary.json),
      .init("slo", .array(objectives.map { .string($0) })),
      .init("explanation", explanation.map { .string($0) } ?? .null),
      .init("remark", draft.remark(on: plan).map { .string($0) } ?? .null),
    ])
  }
}
