//! Why the service says no. Each reason has a code that never changes and a page in `docs/errors/`.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::text::printable;

macro_rules! reasons {
    ($($variant:ident = $code:literal, $kind:ident;)*) => {
        /// A stable reason; its page is `docs/errors/CODE.md`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason {
            $(#[doc = concat!("`", $code, "`")] $variant,)*
        }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant),*];

            /// The code that callers match on.
            pub fn code(self) -> &'static str {
                match self { $(Reason::$variant => $code,)* }
            }

            /// What sort of refusal it is.
            pub fn kind(self) -> Kind {
                match self { $(Reason::$variant => Kind::$kind,)* }
            }
        }
    };
}

/// What sort of refusal, as gRPC sorts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request is wrong whatever the state.
    InvalidArgument,
    /// No or wrong credentials.
    Unauthenticated,
    /// Known, and may not.
    PermissionDenied,
    /// No such thing, or none the caller may know of.
    NotFound,
    /// There is one already.
    AlreadyExists,
    /// Not in this state.
    FailedPrecondition,
    /// Somebody was first: read again and retry.
    Aborted,
    /// Past the end.
    OutOfRange,
    /// A limit or a full disk.
    ResourceExhausted,
    /// Try again soon.
    Unavailable,
    /// Our fault.
    Internal,
    /// What is stored cannot be read any more.
    DataLoss,
}

reasons! {
    AlertNotFound = "ALERT_NOT_FOUND", NotFound;
    AlertStateRefused = "ALERT_STATE", FailedPrecondition;
    AssignmentRefused = "ASSIGNMENT_REFUSED", FailedPrecondition;
    AuthorityExists = "AUTHORITY_EXISTS", AlreadyExists;
    AuthorityInvalid = "AUTHORITY_INVALID", InvalidArgument;
    AuthorityNotFound = "AUTHORITY_NOT_FOUND", NotFound;
    BatchInvalid = "BATCH_INVALID", InvalidArgument;
    BatchTooLarge = "BATCH_TOO_LARGE", InvalidArgument;
    ClaimExpired = "CLAIM_EXPIRED", FailedPrecondition;
    ClaimInvalid = "CLAIM_INVALID", InvalidArgument;
    ClaimNotFound = "CLAIM_NOT_FOUND", NotFound;
    ClaimUnknown = "CLAIM_UNKNOWN", Unauthenticated;
    ClaimUsed = "CLAIM_USED", FailedPrecondition;
    CsrForAnotherId = "CSR_FOR_ANOTHER_ID", InvalidArgument;
    CsrInvalid = "CSR_INVALID", InvalidArgument;
    DeviceCertificateRequired = "DEVICE_CERTIFICATE_REQUIRED", Unauthenticated;
    DeviceExists = "DEVICE_EXISTS", AlreadyExists;
    DeviceIdInvalid = "DEVICE_ID_INVALID", InvalidArgument;
    DeviceNotFound = "DEVICE_NOT_FOUND", NotFound;
    DevicePending = "DEVICE_PENDING", FailedPrecondition;
    DeviceRevoked = "DEVICE_REVOKED", PermissionDenied;
    DeviceStateRefused = "DEVICE_STATE", FailedPrecondition;
    DeviceUnknown = "DEVICE_UNKNOWN", Unauthenticated;
    DigestInvalid = "DIGEST_INVALID", InvalidArgument;
    EtagMismatch = "ETAG_MISMATCH", Aborted;
    FieldMaskInvalid = "FIELD_MASK_INVALID", InvalidArgument;
    FilterInvalid = "FILTER_INVALID", InvalidArgument;
    HardwareUnknown = "HARDWARE_UNKNOWN", FailedPrecondition;
    Internal = "INTERNAL", Internal;
    InventoryTooLarge = "INVENTORY_TOO_LARGE", InvalidArgument;
    KeyNotRegistered = "KEY_NOT_REGISTERED", Unauthenticated;
    LabelInvalid = "LABEL_INVALID", InvalidArgument;
    LastAdmin = "LAST_ADMIN", FailedPrecondition;
    LimitInvalid = "LIMIT_INVALID", InvalidArgument;
    LimitNotFound = "LIMIT_NOT_FOUND", NotFound;
    LivesInvalid = "LIVES_INVALID", InvalidArgument;
    ManifestInvalid = "MANIFEST_INVALID", InvalidArgument;
    ManufacturerRefused = "MANUFACTURER_REFUSED", Unauthenticated;
    MessageInvalid = "MESSAGE_INVALID", InvalidArgument;
    MessageTooLarge = "MESSAGE_TOO_LARGE", ResourceExhausted;
    MetadataRefused = "METADATA_REFUSED", InvalidArgument;
    NameInvalid = "NAME_INVALID", InvalidArgument;
    NobodyToUpdate = "NOBODY_TO_UPDATE", FailedPrecondition;
    NonceInvalid = "NONCE_INVALID", InvalidArgument;
    NoteInvalid = "NOTE_INVALID", InvalidArgument;
    OutOfScope = "OUT_OF_SCOPE", PermissionDenied;
    PageSizeInvalid = "PAGE_SIZE_INVALID", InvalidArgument;
    PageTokenInvalid = "PAGE_TOKEN_INVALID", InvalidArgument;
    PlanInvalid = "PLAN_INVALID", InvalidArgument;
    ProductMismatch = "PRODUCT_MISMATCH", FailedPrecondition;
    PublishedMeanwhile = "PUBLISHED_MEANWHILE", Aborted;
    QueryInvalid = "QUERY_INVALID", InvalidArgument;
    RateLimited = "RATE_LIMITED", ResourceExhausted;
    RecordDamaged = "RECORD_DAMAGED", DataLoss;
    RegistrationInvalid = "REGISTRATION_INVALID", InvalidArgument;
    ReleaseNeeded = "RELEASE_NEEDED", FailedPrecondition;
    ReleaseNotFound = "RELEASE_NOT_FOUND", NotFound;
    RenewalNeedsApproval = "RENEWAL_NEEDS_APPROVAL", FailedPrecondition;
    RenewalRefused = "RENEWAL_REFUSED", Unauthenticated;
    ReportInvalid = "REPORT_INVALID", InvalidArgument;
    RequestRepeated = "REQUEST_REPEATED", AlreadyExists;
    ResumeTokenInvalid = "RESUME_TOKEN_INVALID", InvalidArgument;
    ResumeTokenTooOld = "RESUME_TOKEN_TOO_OLD", OutOfRange;
    RoleRequired = "ROLE_REQUIRED", PermissionDenied;
    RolloutNotFound = "ROLLOUT_NOT_FOUND", NotFound;
    RolloutStateRefused = "ROLLOUT_STATE", FailedPrecondition;
    SegmentDigestMismatch = "SEGMENT_DIGEST_MISMATCH", InvalidArgument;
    SegmentTooLarge = "SEGMENT_TOO_LARGE", InvalidArgument;
    SegmentsMissing = "SEGMENTS_MISSING", FailedPrecondition;
    SelectorInvalid = "SELECTOR_INVALID", InvalidArgument;
    ServerCaRefused = "SERVER_CA_REFUSED", InvalidArgument;
    SilenceInvalid = "SILENCE_INVALID", InvalidArgument;
    SilenceNotFound = "SILENCE_NOT_FOUND", NotFound;
    StorageFull = "STORAGE_FULL", ResourceExhausted;
    TokenExpired = "TOKEN_EXPIRED", Unauthenticated;
    TokenInvalid = "TOKEN_INVALID", InvalidArgument;
    TokenNotFound = "TOKEN_NOT_FOUND", NotFound;
    TokenRequired = "TOKEN_REQUIRED", Unauthenticated;
    TokenUnknown = "TOKEN_UNKNOWN", Unauthenticated;
    TooManySegments = "TOO_MANY_SEGMENTS", InvalidArgument;
    TooManyStreams = "TOO_MANY_STREAMS", ResourceExhausted;
    TrustAlreadyInitialized = "TRUST_ALREADY_INITIALIZED", FailedPrecondition;
    TrustNotInitialized = "TRUST_NOT_INITIALIZED", FailedPrecondition;
    Unavailable = "UNAVAILABLE", Unavailable;
    UpdateUnknown = "UPDATE_UNKNOWN", NotFound;
    VersionNotNewer = "VERSION_NOT_NEWER", FailedPrecondition;
    WearModelInvalid = "WEAR_MODEL_INVALID", InvalidArgument;
    WearModelNotFound = "WEAR_MODEL_NOT_FOUND", NotFound;
    WebhookAddressRefused = "WEBHOOK_ADDRESS_REFUSED", InvalidArgument;
    WebhookInvalid = "WEBHOOK_INVALID", InvalidArgument;
    WebhookNotFound = "WEBHOOK_NOT_FOUND", NotFound;
}

/// A refusal: what was wrong and where, and what to do about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The stable reason.
    pub reason: Reason,
    /// What was wrong, and where. May have several lines (a caret under a column).
    pub message: String,
    /// What to do.
    pub hint: String,
    /// The request field at fault, as its path in the message, when one is.
    pub field: Option<String>,
    /// When trying again makes sense.
    pub retry_after: Option<Duration>,
    /// Facts for programs.
    pub facts: BTreeMap<String, String>,
    /// Further fields at fault, each with what is wrong with it, where all are told at once.
    pub violations: Vec<(String, String)>,
}

impl Refusal {
    /// A refusal with its two sentences. Whatever a caller's value brought into them, they can be
    /// printed; name the value with [`super::text::quoted`].
    pub fn new(reason: Reason, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Refusal {
            reason,
            message: printable(message.into()),
            hint: printable(hint.into()),
            field: None,
            retry_after: None,
            facts: BTreeMap::new(),
            violations: Vec::new(),
        }
    }

    /// Names the request field at fault.
    pub fn field(mut self, path: impl Into<String>) -> Self {
        self.field = Some(printable(path.into()));
        self
    }

    /// Says when to try again.
    pub fn retry_after(mut self, span: Duration) -> Self {
        self.retry_after = Some(span);
        self
    }

    /// Adds a fact for programs.
    pub fn fact(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.facts.insert(key.to_owned(), printable(value.to_string()));
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.reason.code())
    }
}

impl std::error::Error for Refusal {}
