@0xb3418f3a4c212647;
# Headers of the messages that cross a process border (docs/wire.md). Tensors' bytes travel beside the header.
#
# Numbers are never reused and types never change: add fields at the end, and raise `protocol_version` when the meaning of
# an existing one changes. What each message is for is said at the value types in messages/*.hpp.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("troupe::schema");

struct Message {
  # Root of every header.
  union {
    plan @0 :Plan;
    normReport @1 :NormReport;
    commit @2 :Commit;
    applied @3 :Applied;
    fetch @4 :Fetch;
    batch @5 :Batch;
    dispatch @6 :Dispatch;
    combine @7 :Combine;
    gradient @8 :Gradient;
    inputGradient @9 :InputGradient;
    denseGradient @10 :DenseGradient;
    denseParameters @11 :DenseParameters;
    refusal @12 :Refusal;
    replicaReport @13 :ReplicaReport;
    placementChange @14 :PlacementChange;
    placementSettled @15 :PlacementSettled;
    ownerState @16 :OwnerState;
    stateReceived @17 :StateReceived;
    stateRequest @18 :StateRequest;
    release @19 :Release;
    ready @20 :Ready;
    joinRequest @21 :JoinRequest;
    welcome @22 :Welcome;
  }
}

# -- parts ---------------------------------------------------------------------

struct Term {
  incarnation @0 :UInt64;
  counter @1 :UInt32;
}

struct Owner {
  layer @0 :UInt16;
  expert @1 :UInt16;
  slice @2 :UInt16;
}

struct WorkId {
  incarnation @0 :UInt64;
  counter @1 :UInt32;
  step @2 :UInt64;
  microbatch @3 :UInt32;
  layer @4 :UInt16;
}

enum ElementType {
  absent @0;
  u8 @1;
  i32 @2;
  i64 @3;
  f32 @4;
  f64 @5;
}

struct Tensor {
  # Describes one payload. Row-major; dimensions beyond `rank` are unused.
  type @0 :ElementType;
  rank @1 :UInt8;
  payload @2 :UInt32;  # payloads are numbered in the order in which the header names them
  dim0 @3 :Int64;
  dim1 @4 :Int64;
  dim2 @5 :Int64;
  dim3 @6 :Int64;
}

struct OwnerTensor {
  layer @0 :UInt16;
  expert @1 :UInt16;
  slice @2 :UInt16;
  value @3 :Tensor;
}

enum StepKind {
  train @0;
  evaluate @1;
}

# -- steps ---------------------------------------------------------------------

struct MicrobatchPlan {
  lane @0 :UInt32;
  replica @1 :UInt16;
  rows @2 :UInt32;
}

struct Plan {
  term @0 :Term;
  step @1 :UInt64;
  kind @2 :StepKind;
  ordinal @3 :UInt64;
  rows @4 :UInt64;
  learningRate @5 :Float64;
  clipNorm @6 :Float64;
  clipLocal @7 :Bool;
  microbatches @8 :List(MicrobatchPlan);
  placementVersion @9 :UInt64;
  placement @10 :List(UInt16);
  last @11 :Bool;
}

struct Norm {
  layer @0 :UInt16;
  expert @1 :UInt16;
  slice @2 :UInt16;
  squared @3 :Float64;
}

struct NormReport {
  term @0 :Term;
  step @1 :UInt64;
  norms @2 :List(Norm);
}

struct Commit {
  term @0 :Term;
  step @1 :UInt64;
  scale @2 :Float64;
}

struct Applied {
  term @0 :Term;
  step @1 :UInt64;
  owners @2 :List(Owner);
  forwardUs @3 :Float64;
  backwardUs @4 :Float64;
  applyUs @5 :Float64;
}

# -- work ----------------------------------------------------------------------

struct Fetch {
  term @0 :Term;
  step @1 :UInt64;
  kind @2 :StepKind;
  ordinal @3 :UInt64;
  microbatch @4 :UInt32;
  replica @5 :UInt16;
}

struct Batch {
  term @0 :Term;
  step @1 :UInt64;
  microbatch @2 :UInt32;
  inputs @3 :Tensor;
  labels @4 :Tensor;
  ids @5 :Tensor;
}

struct ExpertSpan {
  layer @0 :UInt16;
  expert @1 :UInt16;
  slice @2 :UInt16;
  begin @3 :UInt32;
  end @4 :UInt32;
}

struct Dispatch {
  id @0 :WorkId;
  replica @1 :UInt16;
  keep @2 :Bool;
  rows @3 :Tensor;
  indices @4 :Tensor;
  experts @5 :List(ExpertSpan);
  permission @6 :Plan;  # absent: the node has it, or another bundle brings it
}

struct Combine {
  id @0 :WorkId;
  node @1 :UInt16;
  outputs @2 :List(OwnerTensor);
  done @3 :Applied;  # absent: nothing to tell
}

struct Gradient {
  id @0 :WorkId;
  replica @1 :UInt16;
  inputWanted @2 :Bool;
  rows @3 :Tensor;
  gates @4 :Tensor;
}

struct InputGradient {
  id @0 :WorkId;
  node @1 :UInt16;
  gradients @2 :List(OwnerTensor);
}

struct DenseGradient {
  term @0 :Term;
  step @1 :UInt64;
  stage @2 :UInt16;
  lane @3 :UInt32;
  value @4 :Tensor;
}

struct DenseParameters {
  term @0 :Term;
  version @1 :UInt64;
  stage @2 :UInt16;
  value @3 :Tensor;
}

struct Refusal {
  id @0 :WorkId;
  reason @1 :Text;
  late @2 :Bool;  # nobody's fault: what was sent belongs to what is over
}

# -- reports -------------------------------------------------------------------

struct NamedValue {
  name @0 :Text;
  value @1 :Float64;
}

struct LayerHealth {
  expertRows @0 :List(UInt64);
  values @1 :List(NamedValue);
}

struct MicrobatchReport {
  microbatch @0 :UInt32;
  rows @1 :UInt32;
  loss @2 :Float64;
  correct @3 :Float64;
  layers @4 :List(LayerHealth);
  expertClass @5 :List(UInt64);
}

struct NodeTraffic {
  node @0 :UInt16;
  bytesSent @1 :UInt64;
  bytesReceived @2 :UInt64;
}

struct ReplicaReport {
  term @0 :Term;
  step @1 :UInt64;
  replica @2 :UInt16;
  microbatches @3 :List(MicrobatchReport);
  phases @4 :List(NamedValue);  # microseconds
  traffic @5 :List(NodeTraffic);
  bytesCopied @6 :UInt64;
}

# -- membership ----------------------------------------------------------------

struct PlacementChange {
  term @0 :Term;
  version @1 :UInt64;
  placement @2 :List(UInt16);
  nodes @3 :List(UInt16);
}

struct PlacementSettled {
  term @0 :Term;
  version @1 :UInt64;
}

struct OwnerState {
  term @0 :Term;
  owner @1 :Owner;
  version @2 :UInt64;
  to @3 :UInt16;
  from @4 :UInt16;
  state @5 :Tensor;
}

struct StateReceived {
  term @0 :Term;
  owner @1 :Owner;
  version @2 :UInt64;
  to @3 :UInt16;
}

struct StateRequest {
  term @0 :Term;
  version @1 :UInt64;
}

enum Parting {
  drained @0;
  finished @1;
  interrupted @2;
  failed @3;
}

struct Release {
  term @0 :Term;
  reason @1 :Text;
  how @2 :Parting;
}

struct Ready {
  term @0 :Term;
  node @1 :UInt16;
}

struct JoinRequest {
  protocol @0 :UInt32;
  name @1 :Text;
  fingerprint @2 :Text;
  fingerprintText @3 :Text;
  runId @4 :Text;
  configurationHash @5 :Text;
  process @6 :UInt32;
  computeThreads @7 :UInt32;
  host @8 :Text;
}

struct Welcome {
  term @0 :Term;
  node @1 :UInt16;
  runId @2 :Text;
  configuration @3 :Text;
  name @4 :Text;
}
